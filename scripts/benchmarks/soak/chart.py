"""A soak over time as a picture: throughput, memory of the front, processes and open files; knows no traffic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.benchmarks.soak.soak import Course
from scripts.benchmarks.soak.watch import Look, slope_mb_per_hour

# Answers come in bursts; a rate over fewer looks would show these.
SMOOTH_LOOKS = 10


def draw(course: Course, path: Path) -> None:
    """Write the picture as SVG; it needs at least two looks."""
    minutes = [look.at_s / 60 for look in course.looks]
    figure = Figure(figsize=(9, 8), layout="constrained")
    rate, memory, count = figure.subplots(3, sharex=True)
    rate.plot(minutes[1:], _rates(course.looks))
    rate.set_ylabel("settled requests/s")
    memory.plot(minutes, [look.front_bytes / 1e6 for look in course.looks])
    memory.set_ylabel("front process, MB")
    _fit(course.judged, memory)
    count.plot(minutes, [look.processes for look in course.looks], drawstyle="steps-post", label="processes")
    count.plot(minutes, [look.files for look in course.looks], drawstyle="steps-post", label="open files of the front")
    count.set_xlabel("minutes")
    count.legend()
    for axes in (rate, memory, count):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _rates(looks: Sequence[Look]) -> list[float]:
    """Requests a second over the last looks before each but the first."""
    windows = [looks[max(0, end - SMOOTH_LOOKS) : end + 1] for end in range(1, len(looks))]
    return [(it[-1].settled - it[0].settled) / (it[-1].at_s - it[0].at_s) for it in windows]


def _fit(looks: Sequence[Look], axes: Axes) -> None:
    """The fitted line; it goes through the middle of what it was fitted to."""
    if len(looks) < 2:
        return
    slope = slope_mb_per_hour(looks)
    middle_s, middle = mean(look.at_s for look in looks), mean(look.front_bytes / 1e6 for look in looks)
    ends = (looks[0].at_s, looks[-1].at_s)
    values = [middle + slope * (at_s - middle_s) / 3600 for at_s in ends]
    axes.plot([at_s / 60 for at_s in ends], values, "--", label=f"{slope:+.1f} MB/hour")
    axes.legend()
