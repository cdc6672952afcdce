"""`{"name": ..., "parameters": {...}}` as the whole answer: Llama 3.1 to 3.3."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.constraint import Constraint, Repeated
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, read_object, skip_to, without
from gateway.engines.llm.tool_formats.parameters import part_of
from gateway.tasks.tools import Tool

TAGS = ("<|python_tag|>", "<|python_start|>", "<|python_end|>")


class Llama:
    """An answer that begins with an object that names a tool is made of calls; any other is text.

    A tag may stand before it; several calls have semicolons or commas between them.
    """

    opening = ""
    markers = TAGS

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Calls for as long as there are some, then text."""
        names = frozenset(tool.name for tool in tools)
        while True:
            before = gains.calls
            tape.record()
            yield from tape.space()
            yield from tape.match(*TAGS)
            yield from tape.space()
            whole = yield from read_object(tape, gains, names)
            if not whole:
                break
            yield from tape.space()
            yield from tape.match(";", ",")
        if gains.calls > before:
            yield from skip_to(tape)
        elif not (tape.cut and not (yield from tape.peek())):
            gains.text(without(tape.recorded(), TAGS))
        while (yield from tape.until(TAGS, gains.text)):
            pass

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """Objects with semicolons between them.

        Each is one schema and not text around one: an answer of JSON may be allowed beside it, which begins alike.
        """
        return Repeated(either([_call(tool) for tool in tools]), "; ", most)


def _call(tool: Tool) -> Constraint:
    properties = {"name": {"type": "string", "enum": [tool.name]}, "parameters": tool.parameters}
    call = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return part_of(tool.parameters, call)
