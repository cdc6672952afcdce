"""Which streams are in the next pass, with how many tokens and in which pages; knows no tensor and no model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from gateway.engines.llm.filling import ALONE, fill
from gateway.engines.llm.grammar import forced
from gateway.engines.llm.guesses import Experience, Guesses
from gateway.engines.llm.page_parts import Line, Part
from gateway.engines.llm.pages import Held, Pages
from gateway.engines.llm.stepping import TokenStream

LEAST_READ = 2


class PageSchedule:
    """Up to `most_streams` streams in passes of up to `pass_tokens` tokens.

    Each running stream has one token in every pass; what is left is for prompts, oldest first. A stream that finds no
    page takes those of the newest, which is then read again later; so the oldest always goes on. If it `shares`,
    streams find each other's full pages, with `accounts` only those of one salt, and a prompt waits while another is
    read that it has most of its pages in common with.

    Logits do not depend on what else is in a pass: one row of numbers is multiplied in another way than several, and
    attention to one token of a prompt taken in another way than to several. So no pass is of one token, but a stream
    alone gets a guess of its next one beside, which costs nothing; and no prompt is cut into less than two tokens.
    Wider passes are filled up with guesses where they are worth it. Where streams share pages they also share what
    followed what, with the same salts.
    """

    def __init__(self, pages: Pages, *, pass_tokens: int, most_streams: int, shares: bool, accounts: bool) -> None:
        self.pages = pages
        self._pass_tokens, self._most_streams = pass_tokens, most_streams
        self._shares, self._accounts = shares, accounts
        self._lines: dict[int, Line] = {}
        self._experience = Experience(remembers=shares)

    @property
    def is_empty(self) -> bool:
        """Whether no stream is here."""
        return not self._lines

    def add(self, id: int, stream: TokenStream) -> None:
        """Queue the newest stream."""
        tokens = stream.prompt.tokens
        guesses = Guesses(tokens, self._experience, self._salt(stream))
        self._lines[id] = Line(id, stream, self._names(stream, tokens), guesses)

    def drop(self, id: int) -> None:
        """Forget a stream; its pages are free, or kept for others."""
        line = self._lines.pop(id, None)
        if line is not None:
            self._settle(line)
            self._give_back(line)

    def plan(self, widths: Sequence[int] = ALONE) -> list[Part]:
        """The next pass, in which every stream has a place for each of its tokens.

        Without prompts it has as many rows as one of the `widths` says, if few streams run.
        """
        lines = list(itertools.islice(self._lines.values(), self._most_streams))
        for line in lines:
            self._settle(line)
        parts: dict[int, Part] = {}
        room = self._place(parts, [line for line in lines if line.runs], self._pass_tokens)
        self._place(parts, [line for line in lines if not line.runs], room)
        planned = list(parts.values())
        if len(planned) < max(widths) and all(part.count == 1 for part in planned):
            self._guess(planned, widths)
        return planned

    def passed(self, parts: Iterable[Part]) -> None:
        """These parts have been read, guesses included."""
        for part in parts:
            part.line.read += part.count + len(part.line.stream.guessed)

    def _guess(self, parts: Sequence[Part], widths: Sequence[int]) -> None:
        chains = [part.line.guesses.chain(forced(part.line.stream.choice.matcher)) for part in parts]
        for part, tokens in zip(parts, fill(chains, widths), strict=True):
            if tokens and self.pages.extend(part.held, part.line.read + 1 + len(tokens)):
                part.line.stream.guessed = tokens

    def _settle(self, line: Line) -> None:
        """What was read of wrong guesses is read again; pages that became full can be found from now on."""
        line.stream.guessed = ()
        line.guesses.follow(line.stream.tokens)
        if line.stream.tokens:
            line.read = min(line.read, line.read + line.left - 1)
        if self._shares and line.held is not None and len(line.held.names) < line.read // self.pages.page_tokens:
            self.pages.note(line.held, line.tokens(), line.read)

    def _place(self, parts: dict[int, Part], lines: Sequence[Line], room: int) -> int:
        """Add parts for the lines, of `room` tokens at most; what is left of it."""
        for line in lines:
            if room <= 0:
                break
            if line.held is None and self._awaits(line):
                continue
            held = self._open(line)
            count = line.left if line.left <= room else min(room, line.left - LEAST_READ)
            if count < min(line.left, LEAST_READ):
                continue
            if self._make_room(line, held, count, parts):
                parts[line.id] = Part(line, held, count, ends=count == line.left)
                room -= count
        return room

    def _open(self, line: Line) -> Held:
        """What it holds; at first, or after it gave all back, those pages that are known already."""
        if line.held is None:
            full = (line.left - LEAST_READ) // self.pages.page_tokens
            known = self._names(line.stream, line.tokens()) if line.stream.tokens else line.names
            line.held = self.pages.find(self._salt(line.stream), known[: max(full, 0)])
            line.read = len(line.held.numbers) * self.pages.page_tokens
            if not line.stream.tokens:
                line.stream.cached = line.read
        return line.held

    def _names(self, stream: TokenStream, tokens: Sequence[int]) -> list[bytes]:
        return self.pages.names(self._salt(stream), tokens) if self._shares else []

    def _salt(self, stream: TokenStream) -> str:
        return stream.decoding.cache_salt(accounts=self._accounts)

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
