"""Checks models.yaml row by row, and which rows fit into memory together; loads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.cli.doctor.finding import Finding, fault, note, ok
from gateway.config import ConfigError, ModelSpec, Settings
from gateway.engines.automatic import check_engine
from gateway.engines.outbound import refuse_outbound
from gateway.errors import GatewayError
from gateway.runtime.memory import HOST, Ledger, readable
from gateway.runtime.need import needed_bytes, weights_size
from gateway.runtime.placement import ranked, wished
from gateway.runtime.registry import task_of
from gateway.weights.footprint import Footprints
from gateway.weights.parse import parse_source
from gateway.weights.store import Store


def check(settings: Settings, path: Path, specs: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Whether every row names a task, an engine and a source that exist."""
    are_bad = False
    for spec in specs:
        try:
            task_of(spec)
            check_engine(spec)
            if spec.source is not None:
                parse_source(spec.source)
            if settings.offline:
                refuse_outbound([spec])
        except ConfigError as error:
            are_bad = True
            yield fault(f"row {spec.name}", error.detail, f"correct the row in {path}")
    if not are_bad:
        yield ok("models.yaml", f"{path}: {len(specs)} rows")


class Fit:
    """Reserves memory for row after row, as loading them one after another would, without letting any go."""

    def __init__(self, ledger: Ledger, store: Store, footprints: Footprints) -> None:
        self.ledger = ledger
        self._store = store
        self._footprints = footprints
        self.fitting: list[str] = []
        self.turning: list[ModelSpec] = []
        self.never: list[tuple[ModelSpec, dict[str, int]]] = []

    def place(self, spec: ModelSpec) -> None:
        """Reserve for all replicas that a loaded model has; a row whose weights are not here is passed over."""
        files = self._store.find(spec)
        if files is None and spec.source is not None:
            return
        measured = self._footprints.read(spec)
        gpus = {device: size for device, size in self.ledger.budgets.items() if device != HOST}
        size = weights_size(spec, files)
        devices = wished(spec.device, gpus, ignores_gpus=measured.ignores_gpus)
        budgets = self.ledger.budgets
        needed = {device: needed_bytes(spec, measured, size, device, budgets) for device in devices}
        for _ in range(spec.replicas.min):
            taken = Counter(device for one in self.ledger if one.holder == spec.name for device in one.held)
            free = {device: self.ledger.free_bytes(device) for device in budgets}
            candidates = ranked(devices, needed, budgets, free, taken)
            if not candidates:
                self.never.append((spec, needed[devices[0]]))
                return
            if not any(self.ledger.reserve(spec.name, needed[device]) for device in candidates):
                self.turning.append(spec)
                return
        self.fitting.append(spec.name)


def fit(ledger: Ledger, store: Store, footprints: Footprints, specs: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Which of the rows that are here fit together: first those that must, then the starters, then the rest."""
    trial = Fit(ledger, store, footprints)
    for spec in sorted(specs, key=lambda spec: (not spec.pin, not spec.preload, not spec.starter)):
        try:
            trial.place(spec)
        except (GatewayError, OSError):
            continue  # told with the weights
    reserved = ", ".join(
        f"{readable(ledger.reserved_bytes(device))} of {readable(budget)} {device} memory"
        for device, budget in ledger.budgets.items()
    )
    for spec, needed in trial.never:
        yield fault(
            f"memory of {spec.name}", _never(ledger, needed), "raise the budget, or take a smaller model or dtype"
        )
    for spec in trial.turning:
        if spec.pin or spec.preload:
            what = "pinned" if spec.pin else "preloaded"
            yield fault(f"memory of {spec.name}", f"it is {what}, but does not fit beside the others that are", _LOOSEN)
    together = f"{len(trial.fitting)} rows that are here fit together: {', '.join(trial.fitting) or '-'} ({reserved})"
    turning = [spec.name for spec in trial.turning if not (spec.pin or spec.preload)]
    if turning:
        yield note("fit", f"{together}; by turns: {', '.join(turning)}", "raise GATEWAY_MEMORY_GIB if they should stay")
    else:
        yield ok("fit", together)


_LOOSEN = "raise GATEWAY_MEMORY_GIB, or drop pin or preload of a row"


def _never(ledger: Ledger, needed: dict[str, int]) -> str:
    over = [(device, size) for device, size in needed.items() if size > ledger.budgets.get(device, 0)]
    parts = (f"{readable(size)} of {readable(ledger.budgets.get(device, 0))} {device} memory" for device, size in over)
    return f"it needs more than the whole budget: {', '.join(parts)}"
