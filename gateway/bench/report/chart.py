"""Bars in groups as SVG, with a scale, a legend and a value on each bar; knows no run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.bench.report.element import Node, element

WIDTH, HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 10, 76, 44
_LABEL_WIDTH = 42
_LINES = 4
_GROUP_SHARE = 0.8


@dataclass(frozen=True)
class Series:
    """A name, a value in each group (None for no bar), and the number of its colour in the style."""

    name: str
    values: Sequence[float | None]
    colour: int = 0


def bars(title: str, groups: Sequence[str], axis: str, series: Sequence[Series], write: Callable[[float], str]) -> Node:
    """The chart; `axis` says what the groups are, `write` how a value is written."""
    step = nice_step(max((value for one in series for value in one.values if value is not None), default=0.0))
    top = step * _LINES
    plot = HEIGHT - _TOP - _BOTTOM
    described = "; ".join(f"{one.name}: {_told(groups, one, write)}" for one in series)
    nodes = [element("title", f"{title}. {described}")]
    for number in range(_LINES + 1):
        y = _TOP + plot * (1 - number / _LINES)
        nodes += [
            element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"),
            element("text", write(step * number) if number else "0", x=_LEFT - 8, y=y + 4, text_anchor="end"),
        ]
    width = (WIDTH - _LEFT - _RIGHT) / max(len(groups), 1)
    for at, group in enumerate(groups):
        left = _LEFT + width * at
        nodes.append(element("text", group, x=left + width / 2, y=HEIGHT - 24, text_anchor="middle"))
        nodes += _group(at, left, width, series, lambda value: plot * value / top, write)
    nodes.append(element("text", axis, x=(_LEFT + WIDTH) / 2, y=HEIGHT - 6, text_anchor="middle", class_="dim"))
    nodes += _legend(series) if len(series) > 1 else []
    return element("svg", *nodes, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")


def _group(
    at: int,
    left: float,
    width: float,
    series: Sequence[Series],
    height: Callable[[float], float],
    write: Callable[[float], str],
) -> list[Node]:
    nodes = []
    bar = width * _GROUP_SHARE / len(series)
    for number, one in enumerate(series):
        value = one.values[at]
        if value is None:
            continue
        x, tall = left + width * (1 - _GROUP_SHARE) / 2 + bar * number, height(value)
        y = HEIGHT - _BOTTOM - tall
        nodes += [
            element("rect", x=x + 1, y=y, width=max(bar - 2, 1), height=tall, class_=f"series{one.colour}"),
            _label(write(value), x + bar / 2, y - 4, is_narrow=bar < _LABEL_WIDTH),
        ]
    return nodes


def _label(text: str, x: float, y: float, *, is_narrow: bool) -> Node:
    """A value above its bar; beside others on narrow ones it stands upright."""
    if is_narrow:
        return element("text", text, x=x + 4, y=y, transform=f"rotate(-90 {x + 4:.6g} {y:.6g})", class_="value")
    return element("text", text, x=x, y=y, text_anchor="middle", class_="value")


def _legend(series: Sequence[Series]) -> list[Node]:
    nodes = []
    for number, one in enumerate(series):
        x, y = _LEFT + number % 2 * (WIDTH - _LEFT) / 2, 4 + number // 2 * 16
        nodes += [
            element("rect", x=x, y=y, width=10, height=10, class_=f"series{one.colour}"),
            element("text", one.name, x=x + 16, y=y + 9),
        ]
    return nodes


def _told(groups: Sequence[str], series: Series, write: Callable[[float], str]) -> str:
    """The values as words, for those who do not see the bars."""
    return ", ".join(
        f"{write(value)} at {group}" for group, value in zip(groups, series.values, strict=True) if value is not None
    )


def nice_step(largest: float) -> float:
    """The distance of lines, a round number, so that `largest` is not above the last of them."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / _LINES))
    return next(power * digit for digit in (1, 1.5, 2, 2.5, 3, 4, 5, 10) if power * digit * _LINES >= largest)
