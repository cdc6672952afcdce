"""`[TOOL_CALLS]` and a list of calls, or a name, `[ARGS]` and arguments for each: Mistral's models, old and new."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import SPACE, Reading, Tape
from gateway.engines.llm.tool_formats.base import (
    arguments_of,
    either,
    give_back,
    named_object,
    read_arguments,
    read_objects,
    skip_to,
)
from gateway.tasks.tools import Tool

ARGUMENTS, CALL_ID = "[ARGS]", "[CALL_ID]"


class Mistral:
    """The two forms are told apart as they are read; `tagged` is the newer one, for calls that are constrained."""

    opening = "[TOOL_CALLS]"
    markers = (opening, ARGUMENTS, CALL_ID)

    def __init__(self, *, tagged: bool) -> None:
        self._tagged = tagged

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text up to the marker, calls from there on."""
        mark = yield from tape.until((self.opening,), gains.text)
        while mark:
            yield from tape.space()
            # A list begins like a marker does.
            if marker := (yield from tape.match(*self.markers)):
                mark = marker if marker == self.opening else (yield from skip_to(tape, self.opening))
                continue
            listed = (yield from tape.peek()) in ("[", "{")
            mark = yield from (self._read_list(tape, gains) if listed else self._read_tagged(tape, gains))

    def _read_list(self, tape: Tape, gains: Gains) -> Reading[str]:
        before = gains.calls
        whole = yield from read_objects(tape, gains)
        if not whole and gains.calls == before:
            return (yield from give_back(tape, gains, self.opening))
        return (yield from skip_to(tape, self.opening))

    def _read_tagged(self, tape: Tape, gains: Gains) -> Reading[str]:
        """`name[ARGS]{...}`, with `[CALL_ID]` and an id before the arguments in some versions."""
        head: list[str] = []
        mark = yield from tape.until((ARGUMENTS, CALL_ID, self.opening), head.append)
        if mark == CALL_ID:
            mark = yield from skip_to(tape, ARGUMENTS, self.opening)
        name = "".join(head).strip(SPACE)
        if mark != ARGUMENTS or not name:
            if mark or not tape.cut:
                gains.text(name)
            return mark if mark != ARGUMENTS else (yield from skip_to(tape, self.opening))
        gains.begin_call(name)
        yield from tape.space()
        if (yield from read_arguments(tape, gains.arguments)):
            gains.end_call()
        return (yield from skip_to(tape, self.opening))

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """A list, or a marker for each call."""
        if self._tagged:
            options = [InOrder((Literal(f"{tool.name}{ARGUMENTS}"), arguments_of(tool))) for tool in tools]
            return Repeated(either(options), self.opening, most)
        item = either([named_object(tool) for tool in tools])
        return InOrder((Literal(" ["), Repeated(item, ", ", most), Literal("]")))
