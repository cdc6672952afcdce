"""`<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>`: GLM 4.5 and on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, skip_to
from gateway.engines.llm.tool_formats.parameters import (
    close_arguments,
    in_order,
    read_argument,
    read_name,
    schema_of,
)
from gateway.tasks.tools import Tool

KEY, KEY_END, VALUE, VALUE_END = "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"


class Glm:
    """Strings are plain text, other values JSON. `lines` says that each part has a line of its own, as before 4.7."""

    opening = "<tool_call>"
    closing = "</tool_call>"
    markers = (opening, closing, KEY, KEY_END, VALUE, VALUE_END)

    def __init__(self, *, lines: bool) -> None:
        self._line = "\n" if lines else ""

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text up to a tag, a call up to the other, and so on."""
        while mark := (yield from tape.until(self.markers, gains.text)):
            while mark == self.opening:
                mark = yield from self._read_call(tape, gains, tools)

    def _read_call(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[str]:
        """The mark that ended it."""
        head: list[str] = []
        mark = yield from tape.until((KEY, self.closing, self.opening), head.append)
        name = "".join(head).strip()
        if not name or (not mark and tape.cut):
            return mark
        gains.begin_call(name)
        mark = yield from self._read_arguments(tape, gains, schema_of(tools, name), mark)
        return mark

    def _read_arguments(self, tape: Tape, gains: Gains, schema: dict[str, Any], mark: str) -> Reading[str]:
        first = True
        while mark == KEY:
            key = yield from read_name(tape, KEY_END)
            yield from skip_to(tape, VALUE)
            yield from read_argument(tape, gains, key, schema, (VALUE_END,), first=first)
            first = False
            mark = yield from skip_to(tape, KEY, self.closing, self.opening)
        close_arguments(tape, gains, mark, empty=first)
        return mark

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """One call to a pair of tags."""
        item = either([self._call(tool) for tool in tools])
        return Repeated(item, f"\n{self.opening}" if self._line else self.opening, most)

    def _call(self, tool: Tool) -> Constraint:
        def written(key: str, value: Constraint) -> Constraint:
            return InOrder((Literal(f"{KEY}{key}{KEY_END}{self._line}{VALUE}"), value))

        arguments = in_order(tool, written, f"{VALUE_END}{self._line}")
        return InOrder((Literal(f"{tool.name}{self._line}"), arguments, Literal(self.closing)))
