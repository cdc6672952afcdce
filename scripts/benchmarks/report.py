"""Figures as rows: medians over rounds, ratios between sides, aims; knows no measurement."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gateway.bench.figures import figure as figure
from gateway.bench.figures import percentile as percentile


@dataclass(frozen=True)
class Sample:
    """One figure, measured once a round; quoted as its median, with the lowest and the highest beside it."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)

    def over(self, other: Sample) -> Sample:
        """Round by round, this divided by the other: slow minutes of the machine weigh on both sides."""
        return Sample(tuple(ours / theirs for ours, theirs in zip(self.values, other.values, strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"median": self.median, "lowest": min(self.values), "highest": max(self.values), "rounds": self.values}


@dataclass(frozen=True)
class Aim:
    """A bound on a row's median value, or on the median of its ratio to the reference."""

    of: Literal["value", "ratio"]
    sign: Literal["≥", "≤", ">"]
    bound: float

    def holds(self, figure: float) -> bool:
        """Whether the figure is on the right side."""
        if self.sign == "≤":
            return figure <= self.bound
        return figure > self.bound if self.sign == ">" else figure >= self.bound

    def __str__(self) -> str:
        return f"{self.sign} {figure(self.bound)}" + (" ×" if self.of == "ratio" else "")


@dataclass(frozen=True)
class Row:
    """One figure of one benchmark, with what it is compared with and what it should be."""

    benchmark: str
    name: str
    unit: str
    value: Sample
    against: str = ""
    reference: Sample | None = None
    aim: Aim | None = None
    parts: Mapping[str, Sample] = field(default_factory=dict)
    note: str = ""
    is_disturbed: bool = False

    @property
    def ratio(self) -> Sample | None:
        """Value over reference, round by round."""
        return self.value.over(self.reference) if self.reference is not None else None

    @property
    def is_met(self) -> bool | None:
        """Whether the figures as taken meet the aim; None without an aim. If `is_disturbed`, they prove nothing."""
        if self.aim is None:
            return None
        of = self.value if self.aim.of == "value" else self.ratio
        if of is None:
            raise ValueError(f"{self.name}: an aim on a ratio needs a reference")
        return self.aim.holds(of.median)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "benchmark": self.benchmark,
            "name": self.name,
            "unit": self.unit,
            "value": self.value.as_dict(),
            "against": self.against,
            "reference": self.reference.as_dict() if self.reference else None,
            "ratio": self.ratio.as_dict() if self.ratio else None,
            "aim": asdict(self.aim) if self.aim else None,
            "met": self.is_met,
            "disturbed": self.is_disturbed,
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
            "note": self.note,
        }
