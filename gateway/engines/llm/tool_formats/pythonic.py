"""`[f(a=1, b="x"), g()]` as the whole answer: Llama 3.2 and 4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, quoted, skip_to, without
from gateway.engines.llm.tool_formats.literals import Literals, NotAValue
from gateway.engines.llm.tool_formats.parameters import part_of, with_commas
from gateway.tasks.tools import Tool

TAGS = ("<|python_start|>", "<|python_end|>", "<|python_tag|>")
_NAME = re.compile(r"[\w.-]*")
_PYTHON = Literals()


class Pythonic:
    """An answer that begins with a list of calls of tools is that; any other is text.

    An argument is given as soon as it is whole. Values may be written as in Python or in JSON.
    """

    opening = ""
    markers = TAGS

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """A list of calls, if there is one, then text."""
        names = frozenset(tool.name for tool in tools)
        tape.record()
        yield from tape.space()
        yield from tape.match(*self.markers)
        yield from tape.space()
        whole = (yield from tape.match("[")) and (yield from self._read_calls(tape, gains, names))
        if not gains.calls:
            if not (tape.cut and not (yield from tape.peek())):
                gains.text(without(tape.recorded(), self.markers))
        elif not whole:
            yield from skip_to(tape)
        while (yield from tape.until(self.markers, gains.text)):
            pass

    def _read_calls(self, tape: Tape, gains: Gains, names: frozenset[str]) -> Reading[bool]:
        while True:
            yield from tape.space()
            name: list[str] = []
            yield from tape.run(_NAME, name.append)
            if "".join(name) not in names or not (yield from tape.match("(")):
                return False
            tape.recorded()
            gains.begin_call("".join(name))
            try:
                yield from _read_arguments(tape, gains)
            except NotAValue:
                return False
            yield from tape.space()
            if not (yield from tape.match(",")):
                return bool((yield from tape.match("]")))

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """A list; values are JSON, which the reader takes as well."""
        item = either([_call(tool) for tool in tools])
        return InOrder((Literal("["), Repeated(item, ", ", most), Literal("]")))


def _read_arguments(tape: Tape, gains: Gains) -> Reading[None]:
    """`a=1, b=2)`; raises `NotAValue` where it is not that."""
    opened = "{"
    yield from tape.space()
    while not (yield from tape.match(")")):
        name: list[str] = []
        yield from tape.run(_NAME, name.append)
        yield from tape.space()
        if not name or not (yield from tape.match("=")):
            raise NotAValue
        yield from tape.space()
        value = yield from _PYTHON.read(tape)
        gains.arguments(f"{opened}{quoted(''.join(name))}: {orjson.dumps(value).decode()}")
        opened = ", "
        yield from tape.space()
        if not (yield from tape.match(",")) and (yield from tape.peek()) != ")":
            raise NotAValue
        yield from tape.space()
    gains.arguments("" if opened == "{" else "}")
    gains.end_call()


def _call(tool: Tool) -> Constraint:
    def member(key: str, property: dict[str, Any]) -> Constraint:
        return InOrder((Literal(f"{key}="), part_of(tool.parameters, property)))

    return InOrder((Literal(f"{tool.name}("), *with_commas(tool.parameters, member, ", "), Literal(")")))
