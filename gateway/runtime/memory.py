"""Who holds how many bytes of which device: a budget for each, and no load without a reservation; knows no process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

HOST = "host"
Bytes = Mapping[str, int]


def readable(size_bytes: int) -> str:
    """A size for people."""
    return f"{size_bytes / 2**30:.2f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"


@dataclass(eq=False)
class Reservation:
    """What one replica may take of each device, from before its load until its process is gone."""

    holder: str
    _ledger: Ledger
    held: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)

    def correct(self, needed: Bytes) -> None:
        """Hold what is now known to be needed, though it may be over the budget: a fact cannot be refused."""
        self.held = {device: size for device, size in needed.items() if size > 0}

    def release(self) -> None:
        """Give everything back; a second call does nothing."""
        self._ledger.drop(self)


class Ledger:
    """Bytes by device. `reserve` never lets the sum of the reservations go over a budget."""

    def __init__(self, budgets: Bytes) -> None:
        self.budgets = dict(budgets)
        self._reservations: set[Reservation] = set()

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._reservations)

    def reserved_bytes(self, device: str) -> int:
        """What all reservations together hold of `device`."""
        return sum(reservation.held.get(device, 0) for reservation in self._reservations)

    def free_bytes(self, device: str) -> int:
        """What is left of the budget of `device`; negative when workers outgrew it."""
        return self.budgets.get(device, 0) - self.reserved_bytes(device)

    def lacking(self, needed: Bytes) -> dict[str, int]:
        """How many bytes are missing on which device; empty if `needed` fits now."""
        missing = {device: size - self.free_bytes(device) for device, size in needed.items()}
        return {device: size for device, size in missing.items() if size > 0}

    def reserve(self, holder: str, needed: Bytes) -> Reservation | None:
        """Hold `needed` for `holder`, or None if it does not fit."""
        if self.lacking(needed):
            return None
        reservation = Reservation(holder, self, {device: size for device, size in needed.items() if size > 0})
        self._reservations.add(reservation)
        return reservation

    def drop(self, reservation: Reservation) -> None:
        """Forget `reservation`."""
        self._reservations.discard(reservation)

    def by_holder(self, what: Literal["held", "used"]) -> dict[tuple[str, str], int]:
        """Bytes by holder and device, the largest first."""
        found: Counter[tuple[str, str]] = Counter()
        for reservation in self._reservations:
            sizes: dict[str, int] = getattr(reservation, what)
            found.update({(reservation.holder, device): size for device, size in sizes.items()})
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def describe(self, holder: str, needed: Bytes) -> str:
        """Why `needed` cannot be had: bytes wanted, budget, and who holds it."""
        parts = []
        for device in self.lacking(needed) or needed:
            found = {name: size for (name, where), size in self.by_holder("held").items() if where == device}
            held = ", ".join(f"{name} {readable(size)}" for name, size in found.items()) or "nobody"
            budget = readable(self.budgets.get(device, 0))
            parts.append(f"{readable(needed[device])} of {device} memory (budget {budget}; held by {held})")
        return f"{holder} needs {' and '.join(parts)}"
