"""`<tool_call>{"name": ..., "arguments": {...}}</tool_call>` as of Hermes and Qwen 3, or Nemotron Nano 2's list."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.constraint import Constraint, Literal, Repeated
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import either, give_back, named_object, read_objects, skip_to
from gateway.tasks.tools import Tool


class Hermes:
    """Each call is an object in JSON between two tags; text may stand around them.

    With `listed` one pair of tags has a list of calls between them. Either form is read.
    """

    def __init__(self, tag: str = "tool_call", *, listed: bool = False) -> None:
        self.opening, self.closing = f"<{tag}>", f"</{tag}>"
        self.markers = (self.opening, self.closing)
        self._listed = listed

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Text up to a tag, a call up to the other, and so on."""
        mark = yield from tape.until(self.markers, gains.text)
        while mark:
            if mark == self.opening:
                mark = yield from self._read_call(tape, gains)
            else:
                mark = yield from tape.until(self.markers, gains.text)

    def _read_call(self, tape: Tape, gains: Gains) -> Reading[str]:
        """The mark that ended it."""
        before = gains.calls
        yield from tape.space()
        whole = yield from read_objects(tape, gains)
        if not whole and gains.calls == before:
            return (yield from give_back(tape, gains, *self.markers))
        return (yield from skip_to(tape, *self.markers))

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """One call to a pair of tags, or all of them."""
        options = tuple(named_object(tool) for tool in tools)
        if self._listed:
            return InOrder((Literal("["), Repeated(either(options), ", ", most), Literal(f"]{self.closing}")))
        item = InOrder((Literal("\n"), either(options), Literal(f"\n{self.closing}")))
        return Repeated(item, f"\n{self.opening}", most)
