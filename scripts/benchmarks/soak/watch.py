"""Looks at a running gateway from outside: memory, processes, open files, its own counters; knows no traffic."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import linear_regression

from scripts.benchmarks.client import Address, get
from scripts.benchmarks.load import drive
from scripts.benchmarks.machine import descendants, open_files, resident_bytes

_SAMPLE = re.compile(r"^(gateway_\w+_total)\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Look:
    """The gateway at one moment; `settled` counts the requests that got what they should so far."""

    at_s: float
    front_bytes: int
    files: int
    processes: int
    settled: int


def look(pid: int, at_s: float, settled: int) -> Look:
    """The front process `pid` and all below it; raises `OSError` once it is gone."""
    return Look(at_s, resident_bytes(pid), open_files(pid), 1 + len(descendants(pid)), settled)


def slope_mb_per_hour(looks: Sequence[Look]) -> float:
    """How fast the front process grows, in 10⁶ bytes an hour; 0 for less than two looks.

    Ordinary least squares over all looks, Σ(t−t̄)(y−ȳ) / Σ(t−t̄)²: NIST/SEMATECH e-Handbook of Statistical Methods,
    section 4.1.4.1; computed by `statistics.linear_regression`.
    """
    if len(looks) < 2:
        return 0.0
    fit = linear_regression([look.at_s / 3600 for look in looks], [look.front_bytes / 1e6 for look in looks])
    return fit.slope


@dataclass(frozen=True)
class Counts:
    """The gateway's own counters: loads, unloads by reason, and workers that ended unasked by reason."""

    loads: int = 0
    unloads: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)


async def counts(address: Address) -> Counts:
    """Read `/metrics`; raises `Refused` or `ConnectionError`."""
    text = (await drive(address, [get(address, "/metrics")])).replies[0].body.decode()
    found: dict[str, Counter[str]] = {name: Counter() for name in ("loads", "unloads", "worker_restarts")}
    for metric, labels, value in _SAMPLE.findall(text):
        with contextlib.suppress(KeyError):
            reason = dict(_LABEL.findall(labels)).get("reason", "")
            found[metric.removeprefix("gateway_").removesuffix("_total")][reason] += round(float(value))
    return Counts(found["loads"].total(), +found["unloads"], +found["worker_restarts"])
