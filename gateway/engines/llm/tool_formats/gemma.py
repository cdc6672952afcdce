"""`<|tool_call>call:NAME{key:<|"|>text<|"|>,other:1}<tool_call|>`: Gemma 4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.engines.llm.constraint import NOTHING, Choice, Constraint, Literal, Repeated, Until
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, quoted, skip_to
from gateway.engines.llm.tool_formats.literals import Literals, NotAValue
from gateway.engines.llm.tool_formats.parameters import part_of, types_of, values_of, with_commas
from gateway.tasks.tools import Tool

QUOTE = '<|"|>'
_NAME = re.compile(r"[\w.-]*")
_NOTATION = Literals(quotes=(QUOTE, '"'), bare_keys=True)


class Gemma:
    """Arguments are objects whose keys have no quotes and whose strings have quotes of their own."""

    opening = "<|tool_call>"
    closing = "<tool_call|>"
    markers = (opening, closing, QUOTE)

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text up to a marker, a call up to the other, and so on."""
        while mark := (yield from tape.until((self.opening, self.closing), gains.text)):
            while mark == self.opening:
                yield from self._read_call(tape, gains)
                mark = yield from skip_to(tape, self.closing, self.opening)

    def _read_call(self, tape: Tape, gains: Gains) -> Reading[None]:
        yield from tape.space()
        yield from tape.match("call:")
        name: list[str] = []
        yield from tape.run(_NAME, name.append)
        if not name or (yield from tape.peek()) != "{":
            return
        gains.begin_call("".join(name))
        try:
            arguments = yield from _NOTATION.read(tape)
        except NotAValue:
            return
        gains.arguments(orjson.dumps(arguments).decode())

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """One call to a pair of markers."""
        options = [
            InOrder((Literal(f"call:{tool.name}"), _value(tool.parameters, tool.parameters), Literal(self.closing)))
            for tool in tools
        ]
        return Repeated(either(options), self.opening, most)


def _value(schema: dict[str, Any], root: dict[str, Any]) -> Constraint:
    """A value of the schema in this notation; what it does not say plainly is JSON, which is read too."""
    types = set() if "$ref" in schema else types_of(schema, root)
    if types == {"string"}:
        values = [Literal(f"{QUOTE}{value}{QUOTE}") for value in values_of(schema)]
        return either(values) if values else InOrder((Literal(QUOTE), Until(QUOTE)))
    if types == {"array"} and isinstance(schema.get("items"), dict) and not schema.get("minItems"):
        items = Repeated(_value(schema["items"], root), ",", schema.get("maxItems"))
        return InOrder((Literal("["), Choice((items, NOTHING)), Literal("]")))
    if types != {"object"} or not schema.get("properties"):
        return part_of(root, schema)

    def member(key: str, property: dict[str, Any]) -> Constraint:
        name = key if _NAME.fullmatch(key) else quoted(key)
        return InOrder((Literal(f"{name}:"), _value(property, root)))

    return InOrder((Literal("{"), *with_commas(schema, member, ","), Literal("}")))
