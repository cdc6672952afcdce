"""What became of every request of a soak, by kind; knows no connection and no table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scripts.benchmarks.report import percentile

# Out of memory, or the queue is full: what a gateway with too little memory is allowed to say.
CAPACITY = "429/3040"


@dataclass
class Tally:
    """One kind of request: seconds of those that were answered, and a count of what was said to the others.

    `left` are callers who went away on purpose; they are told nothing.
    """

    seconds: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    left: int = 0

    @property
    def sent(self) -> int:
        """All requests."""
        return len(self.seconds) + self.refusals.total() + self.left

    @property
    def errors(self) -> Counter[str]:
        """What may not be: everything but the answers and `CAPACITY`."""
        return Counter({code: count for code, count in self.refusals.items() if code != CAPACITY})

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """For JSON; `seconds` is how long the traffic lasted."""
        return {
            "sent": self.sent,
            "answered": len(self.seconds),
            "left": self.left,
            "refused": self.refusals,
            "per_s": len(self.seconds) / seconds,
            **_percentiles("", self.seconds),
            **_percentiles("first_", self.first_s),
        }


def _percentiles(prefix: str, values: list[float]) -> dict[str, float | None]:
    return {f"{prefix}p{percent}_s": percentile(values, percent) if values else None for percent in (50, 99)}


@dataclass
class Book:
    """The tallies of the well-formed kinds, and how the malformed requests fared.

    `rejected` were refused with the code that they should be; `misjudged` tells of those that were not.
    """

    tallies: dict[str, Tally]
    rejected: int = 0
    misjudged: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def blame(self, kind: str, code: str, text: str) -> None:
        """Count a refusal, and keep the first text of each."""
        self.tallies[kind].refusals[code] += 1
        self.examples.setdefault(f"{kind}: {code}", text[:500])

    def misjudge(self, name: str, code: str, text: str) -> None:
        """A malformed request got something else than its refusal."""
        self.misjudged[f"{name}: {code}"] += 1
        self.examples.setdefault(f"{name}: {code}", text[:500])

    @property
    def answered(self) -> int:
        """How many requests got what they asked for."""
        return sum(len(tally.seconds) for tally in self.tallies.values())

    @property
    def settled(self) -> int:
        """How many requests got what they should, rejections included."""
        return self.answered + self.rejected

    @property
    def refused(self) -> int:
        """How many requests were refused for want of memory or of room in the queue."""
        return sum(tally.refusals[CAPACITY] for tally in self.tallies.values())

    def faults(self) -> Iterator[str]:
        """What may not be, one line each."""
        for kind, tally in self.tallies.items():
            for code, count in tally.errors.items():
                yield f"{kind}: {count} × {code}: {self.examples[f'{kind}: {code}']}"
        for name, count in self.misjudged.items():
            yield f"malformed, {name}, {count} times: {self.examples[name]}"
