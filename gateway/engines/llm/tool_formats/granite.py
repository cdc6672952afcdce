"""`<|tool_call|>[{"name": ..., "arguments": {...}}]`: Granite 3."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, give_back, named_object, read_objects, skip_to
from gateway.tasks.tools import Tool


class Granite:
    """One marker, then a list of calls that ends the answer."""

    opening = "<|tool_call|>"
    markers = (opening,)

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text up to the marker, a list from there on."""
        mark = yield from tape.until(self.markers, gains.text)
        while mark:
            before = gains.calls
            yield from tape.space()
            whole = yield from read_objects(tape, gains)
            if whole or gains.calls > before:
                mark = yield from skip_to(tape, self.opening)
            else:
                mark = yield from give_back(tape, gains, self.opening)

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """A list."""
        item = either([named_object(tool) for tool in tools])
        return InOrder((Literal("["), Repeated(item, ", ", most), Literal("]")))
