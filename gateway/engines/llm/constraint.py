"""What an answer's text must look like, as a small algebra that every backend compiles; knows no grammar library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Literal:
    """This text and no other."""

    text: str


@dataclass(frozen=True)
class Json:
    """JSON of a value that `schema` describes (JSON Schema, checked by gateway/tasks/json_schema.py).

    `field` is where the caller wrote it, for the error if it cannot be held to.
    """

    schema: dict[str, Any]
    field: str = "/response_format/json_schema"


@dataclass(frozen=True)
class Until:
    """Any text up to and with the first occurrence of `end`."""

    end: str


@dataclass(frozen=True)
class Sequence:
    """The parts, one after the other."""

    parts: tuple[Constraint, ...]


@dataclass(frozen=True)
class Choice:
    """One of the options."""

    options: tuple[Constraint, ...]


@dataclass(frozen=True)
class Repeated:
    """One or more of `item`, at most `most`, with `separator` between them."""

    item: Constraint
    separator: str = ""
    most: int | None = None


@dataclass(frozen=True)
class Triggered:
    """Any text; but wherever `trigger` occurs in it, it is the beginning of one of `items`."""

    trigger: str
    items: tuple[Constraint, ...]


Constraint = Literal | Json | Until | Sequence | Choice | Repeated | Triggered
NOTHING = Literal("")
