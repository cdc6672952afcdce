"""How a pull tells of its progress; knows neither terminals nor sources."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One transfer at a time: `begin`, any number of `advance`, `end` (also after a failure)."""

    def begin(self, name: str, purpose: str, total_bytes: int | None) -> None:
        """A transfer for model `name` starts; `purpose` is what the model is for; `None`: size unknown."""

    def advance(self, size_bytes: int) -> None:
        """So many bytes more; negative when a transfer had to start over."""

    def end(self) -> None:
        """The transfer is over, well or not."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, name: str, purpose: str, total_bytes: int | None) -> None:
        """Nothing."""

    def advance(self, size_bytes: int) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
