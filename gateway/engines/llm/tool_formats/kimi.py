"""Kimi K2's calls: a section of `functions.NAME:INDEX` and arguments, between markers of their own."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import SPACE, Reading, Tape
from gateway.engines.llm.tool_formats.base import arguments_of, either, read_arguments, skip_to
from gateway.tasks.tools import Tool

BEGIN, ARGUMENTS, END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"


class Kimi:
    """The index that the model gives a call is dropped: callers get ids of the gateway's own."""

    opening = SECTION
    markers = (SECTION, BEGIN, ARGUMENTS, END, SECTION_END)

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text, and calls wherever one begins."""
        while mark := (yield from tape.until(self.markers, gains.text)):
            while mark == BEGIN:
                mark = yield from self._read_call(tape, gains)

    def _read_call(self, tape: Tape, gains: Gains) -> Reading[str]:
        """The mark that ended it."""
        head: list[str] = []
        mark = yield from tape.until(self.markers, head.append)
        name = "".join(head).strip(SPACE).removeprefix("functions.").rsplit(":", 1)[0]
        if mark != ARGUMENTS or not name:
            if mark or not tape.cut:
                gains.text(name)
            return mark
        gains.begin_call(name)
        yield from tape.space()
        if (yield from read_arguments(tape, gains.arguments)):
            gains.end_call()
        return (yield from skip_to(tape, BEGIN, END, SECTION_END))

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """A section of calls; that all have the index 0 is of no consequence, as nobody reads it."""
        options = [
            InOrder((Literal(f"{BEGIN}functions.{tool.name}:0{ARGUMENTS}"), arguments_of(tool), Literal(END)))
            for tool in tools
        ]
        return InOrder((Repeated(either(options), "", most), Literal(SECTION_END)))
