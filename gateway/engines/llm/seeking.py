"""A language model and, beside it, a detector for what is asked about places; knows neither's library."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.engines.llm.backend import Backend
from gateway.errors import GatewayError
from gateway.tasks import Piece, Usage
from gateway.tasks.generation import GenerationInput
from gateway.tasks.places import Region, Search


class Finder(Protocol):
    """Finds what words name on pictures."""

    description: str

    def tokens(self, target: str) -> int:
        """How many tokens the words are; raises `BadInput` if they are too many."""

    def find(self, search: Search) -> list[Region]:
        """The places, the surest first; raises `BadInput` for a picture that cannot be decoded."""


class SeekingBackend:
    """A `Backend` that has the words of another and finds places itself, one search a step, in order."""

    def __init__(self, words: Backend, finder: Finder) -> None:
        self._words, self._finder = words, finder
        self._speaking: set[int] = set()
        self._searches: dict[int, tuple[Search, Usage]] = {}
        self.device, self.cache_bytes = words.device, words.cache_bytes
        self.description = f"{words.description}, places by {finder.description}"

    def watch(self, on_lost: Callable[[], None]) -> None:
        """As the words' backend has it: the detector ends with this process."""
        self._words.watch(on_lost)

    def close(self) -> None:
        """End what would outlive this process."""
        self._words.close()

    def admit(self, id: int, input: GenerationInput) -> None:
        """Take in one request; raises `BadInput` for a target that the detector cannot read, and as the words' does."""
        search = input.search()
        if search is not None:
            self._searches[id] = search, Usage(prompt_tokens=self._finder.tokens(search.target))
            return
        self._words.admit(id, input)
        self._speaking.add(id)

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """Advance every stream, and carry out the oldest search, for which the streams wait."""
        pieces = list(self._words.step()) if self._speaking else []
        for id, piece in pieces:
            if isinstance(piece, GatewayError) or piece.is_last:
                self._speaking.discard(id)
        if self._searches:
            id = next(iter(self._searches))
            pieces.append((id, self._found(*self._searches.pop(id))))
        return pieces

    def drop(self, id: int) -> Usage | None:
        """Forget a request; what it has cost: a search that was not carried out nothing."""
        if self._searches.pop(id, None) is not None:
            return None
        self._speaking.discard(id)
        return self._words.drop(id)

    def _found(self, search: Search, usage: Usage) -> Piece | GatewayError:
        began = time.monotonic()
        try:
            places = self._finder.find(search)
        except GatewayError as error:
            return error
        usage.prefill_s = time.monotonic() - began
        return Piece(finish_reason="stop", usage=usage, extra={"places": [place.model_dump() for place in places]})
