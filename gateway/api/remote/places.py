"""Where addresses stand in a request's JSON, in place of media; fetches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.tasks.validation import ADDRESS


@dataclass(frozen=True, slots=True)
class Place:
    """An address in a document, and the JSON pointer to it."""

    pointer: str
    url: str
    parent: dict[str, Any] | list[Any]
    key: Any

    def put(self, text: str) -> None:
        """Have the document hold `text` there."""
        self.parent[self.key] = text


def places(document: Any, patterns: Iterable[str]) -> list[Place]:
    """The http and https addresses where `patterns` say that they may stand (`Task.addresses`)."""
    return [place for pattern in patterns for place in _below(document, pattern.split("/")[1:], "")]


def _below(value: Any, keys: list[str], pointer: str) -> Iterator[Place]:
    key, *rest = keys
    if key != "*":
        if isinstance(value, dict) and key in value:
            yield from _at(value, key, rest, pointer)
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _at(value, index, rest, pointer)
    else:
        yield from _below(value, rest, pointer)


def _at(parent: Any, key: Any, rest: list[str], pointer: str) -> Iterator[Place]:
    value, pointer = parent[key], f"{pointer}/{key}"
    if rest:
        yield from _below(value, rest, pointer)
    elif isinstance(value, str) and ADDRESS.match(value):
        yield Place(pointer, value, parent, key)
