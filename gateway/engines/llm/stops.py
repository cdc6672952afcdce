"""Ends a growing text at the first of some strings, which are no part of it; knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.marks import find_first, undecided


class Stops:
    """One stream's stop strings. Text that may be the beginning of one is held back until it is decided."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = [string for string in strings if string]
        self._held = ""
        self.found: str | None = None

    def feed(self, text: str) -> str:
        """The part of the text so far that is certain and was not given yet; `found` is set once one is met."""
        if not self._strings or self.found is not None:
            return "" if self.found is not None else text
        self._held += text
        hit = find_first(self._held, 0, self._strings)
        if hit is not None:
            at, self.found = hit
            given, self._held = self._held[:at], ""
            return given
        certain = undecided(self._held, 0, self._strings)
        given, self._held = self._held[:certain], self._held[certain:]
        return given

    def rest(self) -> str:
        """What was held back, now that nothing follows."""
        given, self._held = self._held, ""
        return given
