"""Where on a picture something is: what is looked for, and what was found; knows no form of request."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from gateway.errors import BadInput


@dataclass(frozen=True, slots=True)
class Search:
    """At most `most` things that `target` names are looked for on the picture; `skill` is how the caller calls it."""

    skill: str
    image: bytes
    target: str
    most: int

    def refusal(self) -> BadInput:
        """What callers are told by a model that finds no places."""
        return BadInput(f"'/task': this model answers query and caption, not {self.skill}")


class Region(BaseModel):
    """A rectangle, from 0 at the upright picture's left and upper edge to 1 at its right and lower one."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def has_area(self) -> bool:
        """Whether it is more than a line."""
        return self.x_min < self.x_max and self.y_min < self.y_max

    def centre(self) -> Point:
        """Its middle."""
        return Point(x=(self.x_min + self.x_max) / 2, y=(self.y_min + self.y_max) / 2)


class Point(BaseModel):
    """A place, in the same measure."""

    x: float
    y: float
