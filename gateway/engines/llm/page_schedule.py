"""Which streams are in the next pass, with how many tokens and in which pages; knows no tensor and no model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.engines.llm.pages import Held, Pages
from gateway.engines.llm.stepping import TokenStream

LEAST_READ = 2


@dataclass(slots=True)
class Line:
    """One stream: the first `read` of its tokens, the prompt's and those since, are in the pages it holds.

    `names` are those of the full pages of its prompt, none if it shares with nobody.
    """

    id: int
    stream: TokenStream
    names: list[bytes]
    held: Held | None = None
    read: int = 0

    @property
    def left(self) -> int:
        """How many tokens have not been read."""
        return len(self.stream.prompt.tokens) + len(self.stream.tokens) - self.read

    @property
    def runs(self) -> bool:
        """Whether all but its newest token has been read."""
        return self.left == 1 and bool(self.stream.tokens)

    def tokens(self) -> list[int]:
        """The prompt's tokens and those since."""
        return self.stream.prompt.tokens + self.stream.tokens

    def alike(self, other: Line) -> int:
        """With how many full pages both prompts begin."""
        pairs = zip(self.names, other.names, strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True, slots=True)
class Part:
    """The next `count` tokens of a stream in one pass; if it `ends`, all have been read then."""

    line: Line
    held: Held
    count: int
    ends: bool

    def tokens(self) -> Sequence[int]:
        """Their ids."""
        line = self.line
        return line.stream.tokens[-1:] if line.runs else line.tokens()[line.read : line.read + self.count]


class PageSchedule:
    """Up to `most_streams` streams in passes of up to `pass_tokens` tokens.

    Each running stream has one token in every pass; what is left is for prompts, oldest first. A stream that finds no
    page takes those of the newest, which is then read again later; so the oldest always goes on. If it `shares`,
    streams find each other's full pages, with `accounts` only those of one salt, and a prompt waits while another is
    read that it has most of its pages in common with.
    """

    def __init__(self, pages: Pages, *, pass_tokens: int, most_streams: int, shares: bool, accounts: bool) -> None:
        self.pages = pages
        self._pass_tokens, self._most_streams = pass_tokens, most_streams
        self._shares, self._accounts = shares, accounts
        self._lines: dict[int, Line] = {}

    def add(self, id: int, stream: TokenStream) -> None:
        """Queue the newest stream."""
        self._lines[id] = Line(id, stream, self._names(stream, stream.prompt.tokens))

    def drop(self, id: int) -> None:
        """Forget a stream; its pages are free, or kept for others."""
        line = self._lines.pop(id, None)
        if line is not None:
            self._give_back(line)

    def plan(self) -> list[Part]:
        """The next pass, in which every stream has a place for each of its tokens."""
        lines = list(itertools.islice(self._lines.values(), self._most_streams))
        parts: dict[int, Part] = {}
        room = self._place(parts, [line for line in lines if line.runs], self._pass_tokens)
        self._place(parts, [line for line in lines if not line.runs], room)
        return list(parts.values())

    def passed(self, parts: Iterable[Part]) -> None:
        """These parts have been read."""
        page_tokens = self.pages.page_tokens
        for part in parts:
            line = part.line
            before, line.read = line.read, line.read + part.count
            if self._shares and before // page_tokens != line.read // page_tokens:
                self.pages.note(part.held, line.tokens(), line.read)

    def _place(self, parts: dict[int, Part], lines: Sequence[Line], room: int) -> int:
        """Add parts for the lines, of `room` tokens at most; what is left of it."""
        for line in lines:
            if room <= 0:
                break
            if line.held is None and self._awaits(line):
                continue
            held = self._open(line)
            count = line.left if line.left <= room else min(room, max(1, line.left - LEAST_READ))
            if self._make_room(line, held, count, parts):
                parts[line.id] = Part(line, held, count, ends=count == line.left)
                room -= count
        return room

    def _open(self, line: Line) -> Held:
        """What it holds; at first, or after it gave all back, those pages that are known already."""
        if line.held is None:
            # A pass over a single token rounds differently: the same prompt would be answered differently again.
            known = self._names(line.stream, line.tokens()[:-LEAST_READ])
            line.held = self.pages.find(self._salt(line.stream), known)
            line.read = len(line.held.numbers) * self.pages.page_tokens
            if not line.stream.tokens:
                line.stream.cached = line.read
        return line.held

    def _names(self, stream: TokenStream, tokens: Sequence[int]) -> list[bytes]:
        return self.pages.names(self._salt(stream), tokens) if self._shares else []

    def _salt(self, stream: TokenStream) -> str:
        return stream.decoding.salt if self._accounts else ""

    def _awaits(self, line: Line) -> bool:
        """Whether most of its prompt is being read for an older stream."""
        for older in itertools.takewhile(lambda other: other is not line, self._lines.values()):
            if older.held is not None and not older.runs:
                alike = line.alike(older)
                if 2 * alike > len(line.names) and older.read < alike * self.pages.page_tokens:
                    return True
        return False

    def _make_room(self, line: Line, held: Held, count: int, parts: dict[int, Part]) -> bool:
        """Have pages for `count` more tokens, if need be of newer streams; False if these have none either."""
        while not self.pages.extend(held, line.read + count):
            newest = next(other for other in reversed(self._lines.values()) if other.held is not None)
            if newest is line:
                return False
            parts.pop(newest.id, None)
            self._give_back(newest)
        return True

    def _give_back(self, line: Line) -> None:
        if line.held is not None:
            self.pages.release(line.held)
        line.held, line.read = None, 0
