"""Text that is read as it arrives, by generators that yield where they need more; knows no format."""

from __future__ import annotations

from collections.abc import Callable, Generator
from re import Pattern
from typing import TypeVar

from gateway.engines.llm.marks import find_first, undecided

T = TypeVar("T")
Reading = Generator[None, None, T]
Sink = Callable[[str], object]
SPACE = " \t\r\n"


class Tape:
    """Text with a reading head. What its methods read does not depend on how the text was cut when it was added.

    Each is a generator: it yields when all that was added has been read, and is resumed once there is more or the
    text has ended. Read text is not kept, so the cost of reading grows with the text's length alone.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._ended = False
        self._record: list[str] | None = None
        self.cut = False

    def add(self, text: str) -> None:
        """Append text."""
        self._text = self._text[self._at :] + text
        self._at = 0

    def end(self, *, cut: bool) -> None:
        """Nothing more is added; `cut` says that the text would have gone on."""
        self._ended = True
        self.cut = cut

    def record(self) -> None:
        """Keep what is read from here on, for `recorded`."""
        self._record = []

    def recorded(self) -> str:
        """What was read since `record`; ends the recording."""
        kept, self._record = "".join(self._record or ()), None
        return kept

    def peek(self) -> Reading[str]:
        """The next character, which stays; empty at the end."""
        while self._at >= len(self._text):
            if self._ended:
                return ""
            yield
        return self._text[self._at]

    def match(self, *strings: str) -> Reading[str]:
        """Read whichever string comes next, the longest if several do; empty if none does."""
        longest = max(map(len, strings))
        while True:
            rest = self._text[self._at : self._at + longest]
            if self._ended or not any(len(rest) < len(string) and string.startswith(rest) for string in strings):
                return self._take(len(max((s for s in strings if rest.startswith(s)), key=len, default="")))
            yield

    def run(self, pattern: Pattern[str], sink: Sink) -> Reading[None]:
        """Read into `sink` the characters that come next and that `pattern`, a class with `*`, matches."""
        while (yield from self.peek()):
            found = pattern.match(self._text, self._at)
            size = found.end() - self._at if found else 0
            if size:
                sink(self._take(size))
            if self._at < len(self._text):
                return

    def space(self) -> Reading[None]:
        """Read white space."""
        while (char := (yield from self.peek())) and char in SPACE:
            self._take(1)

    def until(self, marks: tuple[str, ...], sink: Sink) -> Reading[str]:
        """Read into `sink` up to the first of `marks`, and that mark; which it was, empty at the end.

        Text that may be the beginning of a mark waits until it is decided.
        """
        while True:
            hit = find_first(self._text, self._at, marks)
            certain = hit[0] if hit else len(self._text) if self._ended else undecided(self._text, self._at, marks)
            if certain > self._at:
                sink(self._take(certain - self._at))
            if hit:
                return self._take(len(hit[1]))
            if self._ended:
                return ""
            yield

    def _take(self, size: int) -> str:
        text = self._text[self._at : self._at + size]
        self._at += size
        if self._record is not None:
            self._record.append(text)
        return text
