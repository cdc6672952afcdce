"""A soak as a table for the terminal, as text for the documentation and as JSON; knows no traffic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from scripts.benchmarks.report import figure
from scripts.benchmarks.soak.book import CAPACITY, Tally
from scripts.benchmarks.soak.soak import Course
from scripts.benchmarks.soak.watch import slope_mb_per_hour

HEADINGS = ("", "sent", "answered", "3040", "left", "other", "per s", "p50, ms", "p99, ms", "first, ms")


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else figure(seconds * 1000)


def _cells(name: str, tally: Tally, seconds: float) -> tuple[str, ...]:
    told = tally.as_dict(seconds)
    counted = tally.sent, len(tally.seconds), tally.refusals[CAPACITY], tally.left, tally.errors.total()
    times = _ms(told["p50_s"]), _ms(told["p99_s"]), _ms(told["first_p50_s"])
    return name, *(f"{count:,}" for count in counted), figure(told["per_s"]), *times


def _whole(course: Course) -> Tally:
    whole = Tally()
    for tally in course.book.tallies.values():
        whole.seconds += tally.seconds
        whole.refusals += tally.refusals
        whole.left += tally.left
    return whole


def lines(course: Course) -> list[tuple[str, ...]]:
    """The cells under `HEADINGS`: one line for each kind of request, and one for all."""
    named = {**course.book.tallies, "all": _whole(course)}
    return [_cells(name, tally, course.seconds) for name, tally in named.items()]


def facts(course: Course) -> Iterator[tuple[str, str]]:
    """What else is worth knowing, as name and value."""
    looks, book, counts = course.judged or course.looks, course.book, course.counts
    first, last = looks[0], looks[-1]
    evicted = counts.unloads["evicted"]
    yield "malformed requests", f"{book.rejected:,} refused as they should be, {book.misjudged.total()} not"
    yield "loads, evictions", f"{counts.loads:,}, {evicted:,} ({figure(evicted / course.seconds * 60)} a minute)"
    yield "workers that ended unasked", f"{counts.restarts.total()}"
    yield (
        "front process, resident",
        f"{figure(first.front_bytes / 1e6)} → {figure(last.front_bytes / 1e6)} MB after the warm-up, "
        f"slope {slope_mb_per_hour(looks):+.1f} MB/hour",
    )
    yield "front process, open files", _range([look.files for look in looks])
    yield "processes", _range([look.processes for look in looks])
    yield "left behind after the stop", f"{len(course.left_behind)} processes and temporary files"


def _range(values: list[int]) -> str:
    return f"{values[0]} → {values[-1]} (between {min(values)} and {max(values)})"


def table(course: Course) -> Table:
    """The kinds of requests and the facts, for a terminal."""
    shown = Table(title=f"{course.seconds / 60:.1f} minutes, {course.plan.connections} connections", padding=(0, 0))
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
    *kinds, whole = lines(course)
    for cells in kinds:
        shown.add_row(*cells)
    shown.add_section()
    shown.add_row(*whole, style="bold")
    return shown


def markdown(course: Course, about: dict[str, Any]) -> str:
    """What to put into the documentation."""
    plan, machine = course.plan, about["machine"]
    taken = (
        f"{about['at'][:10]}, commit `{about['commit'][:12]}`{' with changes' if about['changed'] else ''}, "
        f"`{about['command']}`: {plan.connections} connections, {len(course.models)} models on "
        f"{plan.memory_gib:g} GiB, seed {plan.seed}, "
        f"on {machine['cores']} cores of {machine['model']}, Linux {machine['kernel']}."
    )
    rows = [HEADINGS, ("---", *("--:" for _ in HEADINGS[1:])), *lines(course)]
    kinds = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    rest = "\n".join(f"| {name} | {value} |" for name, value in facts(course))
    return f"{taken}\n\n{kinds}\n\n| | |\n|---|---|\n{rest}\n"


def document(course: Course, about: dict[str, Any]) -> dict[str, Any]:
    """For JSON: everything, and what was seen each second."""
    kinds = {**course.book.tallies, "all": _whole(course)}
    return {
        **about,
        "plan": asdict(course.plan),
        "models": course.models,
        "seconds": course.seconds,
        "requests": {name: tally.as_dict(course.seconds) for name, tally in kinds.items()},
        "malformed": {"rejected": course.book.rejected, "misjudged": course.book.misjudged},
        "loads": course.counts.loads,
        "unloads": course.counts.unloads,
        "restarts": course.counts.restarts,
        "front_mb_per_hour": slope_mb_per_hour(course.judged),
        "left_behind": course.left_behind,
        "faults": course.faults(),
        "looks": [asdict(look) for look in course.looks],
    }
