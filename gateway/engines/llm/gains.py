"""Collects what reading a model's text gives: reasoning, the answer's own text, tool calls; knows no format."""

from __future__ import annotations

from gateway.engines.llm.tape import SPACE
from gateway.tasks import Piece
from gateway.tasks.conversation import new_call_id
from gateway.tasks.pieces import ToolCallDelta


class _Words:
    """Text whose trailing white space waits for what follows, and whose leading white space may be dropped."""

    def __init__(self, *, trimmed: bool) -> None:
        self._trimmed = trimmed
        self._begun = False
        self._space: list[str] = []
        self._given: list[str] = []

    def add(self, text: str) -> None:
        if self._trimmed and not self._begun:
            text = text.lstrip(SPACE)
        words = text.rstrip(SPACE)
        if words:
            self._begun = True
            self._given += [*self._space, words]
            self._space = []
        if len(words) < len(text):
            self._space.append(text[len(words) :])

    def trim(self) -> None:
        """Drop the white space before the first word."""
        self._trimmed = True
        if not self._begun:
            self._space = []

    def finish(self) -> None:
        """Give the white space that waits."""
        self._given += self._space
        self._space = []

    def take(self) -> str:
        text = "".join(self._given)
        self._given = []
        return text


class Gains:
    """What one choice has gained since `piece` was last called.

    White space is no part of the text where only reasoning or calls are before it or only calls after it; that of
    a text without them is kept as it is. Calls beyond `most` are left out.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._text = _Words(trimmed=False)
        self._reasoning = _Words(trimmed=True)
        self._deltas: list[ToolCallDelta] = []
        self._begun = False
        self._argued = False
        self.calls = 0

    def text(self, text: str) -> None:
        """The answer's own words."""
        self._text.add(text)

    def reasoning(self, text: str) -> None:
        """Words that lead to the answer."""
        self._reasoning.add(text)

    def end_reasoning(self) -> None:
        """The answer begins."""
        self._text.trim()

    def begin_call(self, name: str) -> None:
        """A call of the tool `name`; its arguments follow."""
        self._text.trim()
        self._begun = self._most is None or self.calls < self._most
        self._argued = False
        if self._begun:
            self._deltas.append(ToolCallDelta(self.calls, new_call_id(), name))
        self.calls += 1

    def arguments(self, fragment: str) -> None:
        """The next part of the JSON object that is the current call's arguments."""
        if self._begun and fragment:
            self._argued = True
            self._deltas[-1:] = _grown(self._deltas[-1:], self.calls - 1, fragment)

    def end_call(self) -> None:
        """The current call is whole; one without arguments has an empty object of them."""
        if not self._argued:
            self.arguments("{}")

    def piece(self) -> Piece:
        """What was gained, which is then forgotten."""
        deltas, self._deltas = self._deltas, []
        return Piece(text=self._text.take(), reasoning=self._reasoning.take(), tool_calls=deltas)

    def last(self, finish_reason: str) -> Piece:
        """What was gained last; a choice that made calls and stopped has stopped for them."""
        if not self.calls:
            self._text.finish()
        piece = self.piece()
        piece.finish_reason = "tool_calls" if self.calls and finish_reason == "stop" else finish_reason
        return piece


def _grown(last: list[ToolCallDelta], index: int, fragment: str) -> list[ToolCallDelta]:
    """The last delta with the fragment, if it is the same call's; else the fragment as a delta of its own."""
    if last and last[0].index == index:
        last[0].arguments += fragment
        return last
    return [*last, ToolCallDelta(index, arguments=fragment)]
