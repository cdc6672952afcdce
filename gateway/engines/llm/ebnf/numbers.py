"""JSON numbers between bounds in a grammar: digits only, never an exponent; knows no schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from gateway.engines.llm.ebnf.rules import Rules, Unsupported

# What every decoder reads without loss.
LARGEST = 10**15 - 1
# Fractions are left to numbers that have room for them among the digits of a double.
LARGEST_WITH_FRACTION = 10**9
MAX_DECIMALS, FURTHER_DECIMALS = 6, 6

INTEGER = '"-"? ("0" | [1-9] [0-9]{0,14})'
NUMBER = f'{INTEGER} ("." [0-9]{{1,15}})?'

Digits = list[tuple[str, str]]
"""For each place the smallest and the largest digit."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`low` and `high` are excluded if it says so; None: no bound."""

    low: Decimal | None = None
    high: Decimal | None = None
    excludes_low: bool = False
    excludes_high: bool = False

    def steps(self, decimals: int) -> tuple[int, int]:
        """The first and last multiple of 10 ** -`decimals` inside, as a count of them."""
        scale, largest = 10**decimals, Decimal(LARGEST)
        low = max(-largest, self.low if self.low is not None else -largest) * scale
        high = min(largest, self.high if self.high is not None else largest) * scale
        first, last = int(low.to_integral_value(ROUND_CEILING)), int(high.to_integral_value(ROUND_FLOOR))
        return first + (self.excludes_low and first == low), last - (self.excludes_high and last == high)


def integer(rules: Rules, bounds: Bounds, where: str) -> str:
    """An integer within the bounds; raises `Unsupported` if there is none."""
    if bounds == Bounds():
        return rules.rule(INTEGER)
    first, last = bounds.steps(0)
    return _either(rules, list(_signed(first, last, 0)), where)


def number(rules: Rules, bounds: Bounds, where: str) -> str:
    """A number within the bounds, with as many decimals as they have, or more; raises `Unsupported`."""
    if bounds == Bounds():
        return rules.rule(NUMBER)
    decimals = max(_decimals(bound) for bound in (bounds.low, bounds.high) if bound is not None)
    if decimals > MAX_DECIMALS:
        raise Unsupported(where, f"a bound with more than {MAX_DECIMALS} decimals is not supported")
    first, last = bounds.steps(decimals)
    options = list(_signed(first, last, decimals))
    limit = LARGEST_WITH_FRACTION * 10**decimals
    fraction = ("" if decimals else '"." ') + f"[0-9]{{1,{FURTHER_DECIMALS}}}"
    # With more digits a number moves away from zero, but not as far as the next step.
    above = _naturals(max(0, first), min(last - 1, limit), decimals)
    below = _naturals(max(0, -last), min(-first - 1, limit), decimals)
    options += [f"{digits} {fraction}" for digits in above]
    options += [f'"-" {digits} {fraction}' for digits in below]
    return _either(rules, options, where)


def _either(rules: Rules, options: list[str], where: str) -> str:
    if not options:
        raise Unsupported(where, "no number is within the bounds")
    return rules.rule(" | ".join(options))


def _decimals(bound: Decimal) -> int:
    exponent = bound.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _signed(first: int, last: int, decimals: int) -> Iterator[str]:
    yield from _naturals(max(0, first), last, decimals)
    yield from (f'"-" {digits}' for digits in _naturals(max(1, -last), -first, decimals))


def _naturals(first: int, last: int, decimals: int) -> Iterator[str]:
    """Expressions for the natural numbers from `first` to `last`, as counts of 10 ** -`decimals`."""
    for width in range(decimals + 1, max(decimals + 1, len(str(max(0, last)))) + 1):
        low = max(first, 10 ** (width - 1) if width > decimals + 1 else 0)
        high = min(last, 10**width - 1)
        if low <= high:
            yield from (_spelt(digits, decimals) for digits in _between(f"{low:0{width}d}", f"{high:0{width}d}"))


def _between(low: str, high: str) -> Iterator[Digits]:
    """The digit strings from `low` to `high`, which are of one length, as few as possible."""
    if not low:
        yield []
    elif low[0] == high[0]:
        yield from ([(low[0], low[0]), *rest] for rest in _between(low[1:], high[1:]))
    else:
        zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
        start, end = int(low[0]), int(high[0])
        if low[1:] != zeros:
            yield from ([(low[0], low[0]), *rest] for rest in _between(low[1:], nines))
            start += 1
        if high[1:] != nines:
            yield from ([(high[0], high[0]), *rest] for rest in _between(zeros, high[1:]))
            end -= 1
        if start <= end:
            yield [(str(start), str(end)), *([("0", "9")] * len(zeros))]


def _spelt(digits: Digits, decimals: int) -> str:
    parts = [f'"{low}"' if low == high else f"[{low}-{high}]" for low, high in digits]
    if decimals:
        parts.insert(len(parts) - decimals, '"."')
    return " ".join(parts)
