"""Which idle replicas go to make room: bytes freed against the cost of loading again and recency; knows numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
# A load that took no time still costs something; without this, such a model would always be the first to go.
LEAST_LOAD_S = 0.1


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """A replica that could go: what it holds, how long its load took and how long ago it was last used."""

    what: T
    held: Mapping[str, int]
    load_s: float
    idle_s: float


def choose(candidates: Sequence[Candidate[T]], lacking: Mapping[str, int]) -> list[T]:
    """Those that free `lacking` bytes at the least cost; empty if all of them together do not.

    Taken greedily by useful bytes x idle seconds / load seconds, highest first; then whoever turns out to be
    unnecessary stays, the dearest first.
    """
    chosen: list[Candidate[T]] = []
    left, rest = dict(lacking), list(candidates)
    while left:
        best = max(rest, key=lambda candidate: _worth(candidate, left), default=None)
        if best is None or _worth(best, left) <= 0:
            return []
        rest.remove(best)
        chosen.append(best)
        left = _left(lacking, chosen)
    for candidate in sorted(chosen, key=lambda candidate: _worth(candidate, lacking)):
        others = [other for other in chosen if other is not candidate]
        if not _left(lacking, others):
            chosen = others
    return [candidate.what for candidate in chosen]


def _worth(candidate: Candidate[T], lacking: Mapping[str, int]) -> float:
    useful = sum(min(candidate.held.get(device, 0), size) for device, size in lacking.items())
    return useful * (candidate.idle_s + 1.0) / max(candidate.load_s, LEAST_LOAD_S)


def _left(lacking: Mapping[str, int], chosen: Sequence[Candidate[T]]) -> dict[str, int]:
    freed = {device: sum(candidate.held.get(device, 0) for candidate in chosen) for device in lacking}
    return {device: size - freed[device] for device, size in lacking.items() if size > freed[device]}
