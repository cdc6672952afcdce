"""Writes into usage what an answer or a session would have cost on Cloudflare; knows a row and a form, no request."""

from __future__ import annotations

from typing import Any

from gateway.config import ModelSpec
from gateway.tasks import Piece, Task, TaskInput, Usage
from gateway.tasks.amounts import Amounts
from gateway.tasks.neurons import Tariff


class Till:
    """The prices of a row: its worker notes every answer, and who holds a live session its sound, once."""

    def __init__(self, spec: ModelSpec) -> None:
        self._tariff = Tariff(spec.properties.price)

    def note(self, form: Task, input: TaskInput, output: Any) -> Usage | None:
        """Put the neurons into the `usage` of an engine's output or of a stream's last piece.

        Returns that usage, or one of its own if the output has none; None if there is no price to tell.
        """
        neurons = self._tariff.neurons(form.measure(input, output)) if self._tariff.is_known else None
        if neurons is None:
            return None
        usage = getattr(output, "usage", None)
        usage = Usage() if usage is None else usage
        usage.neurons = neurons
        return usage

    def listened(self, seconds: float) -> Usage | None:
        """The usage of a live session that heard so much sound; None if there is no price to tell."""
        neurons = self._tariff.neurons(Amounts(audio_s=0.0, live_audio_s=seconds))
        return None if neurons is None else Usage(neurons=neurons)

    def note_spent(self, form: Task, input: TaskInput, usage: Usage) -> None:
        """The same for what was made until the caller left."""
        self.note(form, input, Piece(usage=usage))
