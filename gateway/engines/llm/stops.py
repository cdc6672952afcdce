"""Ends a growing text at the first of some strings, which are no part of it; knows no model."""

from __future__ import annotations

from collections.abc import Sequence


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
        at, found = min(
            ((self._held.find(string), string) for string in self._strings if string in self._held),
            default=(-1, None),
            key=lambda hit: hit[0],
        )
        if found is not None:
            self.found = found
            given, self._held = self._held[:at], ""
            return given
        keep = max(_overlap(self._held, string) for string in self._strings)
        given, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return given

    def rest(self) -> str:
        """What was held back, now that nothing follows."""
        given, self._held = self._held, ""
        return given


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of `text` that begins `string`."""
    return next((n for n in range(min(len(text), len(string) - 1), 0, -1) if string.startswith(text[-n:])), 0)
