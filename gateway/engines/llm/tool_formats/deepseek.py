"""DeepSeek's calls: a section of tagged names and arguments, those of V3 and R1 in a fenced block, of V3.1 bare."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import SPACE, Reading, Tape
from gateway.engines.llm.tool_formats.base import arguments_of, either, read_arguments, skip_to
from gateway.tasks.tools import Tool

BEGIN, SEPARATOR, END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
SECTION, SECTION_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
FENCE = "\n```json\n"
_LINE = re.compile(r"[^\n{<]*")


class DeepSeek:
    """The two forms are told apart as they are read; `fenced` is the older one, for calls that are constrained."""

    opening = SECTION
    markers = (SECTION, BEGIN, SEPARATOR, END, SECTION_END)

    def __init__(self, *, fenced: bool) -> None:
        self._fenced = fenced

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text, and calls wherever one begins."""
        while mark := (yield from tape.until(self.markers, gains.text)):
            while mark == BEGIN:
                mark = yield from self._read_call(tape, gains)

    def _read_call(self, tape: Tape, gains: Gains) -> Reading[str]:
        """The mark that ended it."""
        head: list[str] = []
        mark = yield from tape.until(self.markers, head.append)
        if mark != SEPARATOR:
            if mark or not tape.cut:
                gains.text("".join(head).strip(SPACE))
            return mark
        # V3 and R1 name the kind of call first and the function in the line before its block.
        yield from tape.space()
        if (yield from tape.peek()) != "{":
            head.clear()
            yield from tape.run(_LINE, head.append)
            yield from tape.space()
            yield from tape.match("```json")
            yield from tape.space()
        name = "".join(head).strip(SPACE)
        if not name:
            return (yield from skip_to(tape, BEGIN, END, SECTION_END))
        gains.begin_call(name)
        if (yield from read_arguments(tape, gains.arguments)):
            gains.end_call()
        return (yield from skip_to(tape, BEGIN, END, SECTION_END))

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """A section of calls."""
        item = either([self._call(tool) for tool in tools])
        return InOrder((Repeated(item, "\n" if self._fenced else "", most), Literal(SECTION_END)))

    def _call(self, tool: Tool) -> Constraint:
        if not self._fenced:
            return InOrder((Literal(f"{BEGIN}{tool.name}{SEPARATOR}"), arguments_of(tool), Literal(END)))
        head = f"{BEGIN}function{SEPARATOR}{tool.name}{FENCE}"
        return InOrder((Literal(head), arguments_of(tool), Literal(f"\n```{END}")))
