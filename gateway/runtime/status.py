"""What `/ready` tells of one model; decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from gateway.config import ModelSpec
from gateway.runtime.keepers import Keepers


def describe(spec: ModelSpec, state: str, keepers: Keepers) -> dict[str, object]:
    """The model's row, state, replicas and memory (bytes by device)."""
    loaded = [place.loaded for place in keepers if place.loaded is not None]
    held = [place.reservation for place in keepers if place.reservation is not None]
    return {
        "name": spec.name,
        "task": spec.task,
        "state": state,
        "preload": spec.preload,
        "pin": spec.pin,
        "replicas": {"min": spec.replicas.min, "max": spec.replicas.max},
        "loaded": len(loaded),
        "device": loaded[0].device if loaded else None,
        "engine": loaded[0].engine if loaded else None,
        "served_by": loaded[0].served_by if loaded else None,
        "sandbox": loaded[0].sandbox if loaded else None,
        "memory": {"reserved": _total(one.held for one in held), "used": _total(one.used for one in held)},
        "running": keepers.inside_count,
    }


def _total(sizes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    added: Counter[str] = Counter()
    for each in sizes:
        added.update(each)
    return dict(added)
