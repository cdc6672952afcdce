"""`<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>`: Qwen3-Coder, Qwen 3.5 and on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, give_back, skip_to
from gateway.engines.llm.tool_formats.parameters import close_arguments, in_order, read_argument, read_name, schema_of
from gateway.tasks.tools import Tool

FUNCTION, FUNCTION_END = "<function=", "</function>"
PARAMETER, PARAMETER_END = "<parameter=", "</parameter>"


class QwenCoder:
    """Values are plain text, of the type that the tool's schema names, with one line break on either side."""

    opening = "<tool_call>"
    closing = "</tool_call>"
    markers = (opening, closing, FUNCTION, FUNCTION_END, PARAMETER, PARAMETER_END)

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text, and calls from a tag on; models leave out the outer one at times."""
        while mark := (yield from tape.until(self.markers, gains.text)):
            while mark in (self.opening, FUNCTION):
                mark = yield from self._read_call(tape, gains, tools, mark)

    def _read_call(self, tape: Tape, gains: Gains, tools: Sequence[Tool], mark: str) -> Reading[str]:
        """The mark that ended it."""
        tape.record()
        if mark == self.opening:
            yield from tape.space()
            if not (yield from tape.match(FUNCTION)):
                return (yield from give_back(tape, gains, self.closing, self.opening, FUNCTION))
        tape.recorded()
        name = yield from read_name(tape, ">")
        if name:
            gains.begin_call(name)
            mark = yield from self._read_arguments(tape, gains, schema_of(tools, name))
            if mark == self.closing:
                return mark
        return (yield from skip_to(tape, self.closing, self.opening, FUNCTION))

    def _read_arguments(self, tape: Tape, gains: Gains, schema: dict[str, Any]) -> Reading[str]:
        first = True
        while (mark := (yield from skip_to(tape, PARAMETER, FUNCTION_END, self.closing))) == PARAMETER:
            key = yield from read_name(tape, ">")
            yield from tape.match("\n")
            yield from read_argument(tape, gains, key, schema, (f"\n{PARAMETER_END}", PARAMETER_END), first=first)
            first = False
        close_arguments(tape, gains, mark, empty=first)
        return mark

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """One function to a pair of tags."""
        item = either([_call(tool) for tool in tools])
        return Repeated(item, f"\n{self.opening}", most)


def _call(tool: Tool) -> Constraint:
    def written(key: str, value: Constraint) -> Constraint:
        return InOrder((Literal(f"{PARAMETER}{key}>\n"), value))

    arguments = in_order(tool, written, f"\n{PARAMETER_END}\n")
    closing = f"{FUNCTION_END}\n{QwenCoder.closing}"
    return InOrder((Literal(f"\n{FUNCTION}{tool.name}>\n"), arguments, Literal(closing)))
