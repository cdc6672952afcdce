"""JSON objects in a grammar: named properties in their order, or any names; knows no other part of a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.engines.llm.ebnf import strings
from gateway.engines.llm.ebnf.merging import Schema
from gateway.engines.llm.ebnf.rules import EMPTY, Rules, Unsupported, literal

COMMA, COLON = literal(","), literal(":")


@dataclass(frozen=True, slots=True)
class Shape:
    """`names`: schemas of the properties that may be written; `additional`: that of others; counts of properties."""

    names: Mapping[str, Any]
    required: frozenset[str]
    additional: Any
    least: int
    most: int | None

    @classmethod
    def of(cls, schema: Schema, where: str) -> Shape:
        """What an object schema asks for; raises `Unsupported`."""
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise Unsupported(where, "'properties' must be an object and 'required' a list")
        additional = schema.get("additionalProperties", True)
        strangers = [name for name in required if name not in properties]
        if strangers and additional is False:
            raise Unsupported(f"{where}/required", f"'{str(strangers[0])[:80]}' is required and not allowed")
        least, most = schema.get("minProperties", 0), schema.get("maxProperties")
        shape = cls(
            {**properties, **dict.fromkeys(strangers, additional)}, frozenset(required), additional, least, most
        )
        shape._check_counts(where)
        return shape

    def _check_counts(self, where: str) -> None:
        if self.most is not None and max(self.least, len(self.required)) > self.most:
            raise Unsupported(f"{where}/maxProperties", "'maxProperties' is smaller than what is required")
        # The same name may be written twice, and counts once.
        if self.least > max(1 if not self.names and self.additional is not False else 0, len(self.names)):
            raise Unsupported(f"{where}/minProperties", "'minProperties' beyond the named properties is not supported")

    def kept(self) -> Iterator[tuple[str, Any]]:
        """The properties to write, with their schemas: optional ones only as long as there is room for them."""
        room = None if self.most is None else self.most - len(self.required)
        for name, schema in self.names.items():
            if name in self.required:
                yield name, schema
            elif room is None or room > 0:
                room = None if room is None else room - 1
                # A property that nothing fits is one that must not be there.
                if schema is not False:
                    yield name, schema

    def must_write(self, names: list[str]) -> set[str]:
        """Of `names`, those required, and as many of the others as `minProperties` asks for."""
        optional = [name for name in names if name not in self.required]
        return {*self.required, *optional[: max(0, self.least - len(self.required))]}


def object_rule(rules: Rules, shape: Shape, values: Mapping[str, str]) -> str:
    """An object of named properties, whose values are these expressions."""
    must = shape.must_write(list(values))
    # `first` begins an object whose first property is still to come, `later` goes on after another.
    first, later = EMPTY, EMPTY
    for name, value in reversed(list(values.items())):
        pair = f"{literal(json.dumps(name, ensure_ascii=False))} {COLON} {value}"
        written = f"{pair} {later}"
        first = rules.rule(written if name in must else f"{written} | {first}")
        later = rules.rule(f"{COMMA} {written}" if name in must else f"{COMMA} {written} | {later}")
    return rules.rule(f'"{{" {first} "}}"')


def free_object(rules: Rules, value: str, least: int = 0, most: int | None = None) -> str:
    """An object of any names, each with such a value; of at most `most` properties."""
    member = rules.rule(f"{strings.any_string(rules)} {COLON} {value}")
    return rules.rule(f'"{{" {rules.times(member, least, most, COMMA)} "}}"')
