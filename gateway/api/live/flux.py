"""Flux: turns with eager and final ends, as Deepgram's second listening protocol tells them (docs/tasks/speech.md)."""

from __future__ import annotations

from typing import Any

from gateway.api.choosing import Chosen
from gateway.api.live.listening import ListeningSession
from gateway.api.live.sound import Sound
from gateway.api.live.turn import Turn
from gateway.tasks.speech_flux import Event, FluxEvent, FluxInput, FluxWord
from gateway.tasks.speech_words import Spoken

_SAMPLE_BYTES = 2
# After this much silence it is certain that the turn is over; before, confidence grows evenly.
CERTAIN_S = 1.0


class FluxSession(ListeningSession):
    """Reports the state machine of turns: begun, eagerly ended, resumed, ended."""

    flush_command = "ForceEndTurn"

    def __init__(self, chosen: Chosen, query: dict[str, Any]) -> None:
        super().__init__(chosen, query)
        asked = self.task.parse(query)
        assert isinstance(asked, FluxInput)
        self._asked = asked
        self.parameters = asked.model_dump(exclude_unset=True)
        self.sound = Sound(asked.sample_rate, _SAMPLE_BYTES)
        self.end_silence_s = min(asked.eot_threshold * CERTAIN_S, asked.eot_timeout_ms / 1000)
        self._sequence = 0
        self._turn_index = 0
        self._is_eager = False
        self._window_s = 0.0

    async def opened(self) -> None:
        """Greet with the request's id."""
        await self.socket.send({"type": "Connected", "request_id": self.request_id, "sequence_id": self._next()})

    async def idle(self, until_s: float) -> None:
        """Nobody speaks: an update without words."""
        await self._tell("Update", Turn(start_s=self._window_s, end_s=until_s))

    async def started(self, turn: Turn) -> None:
        """The turn begins."""
        self._is_eager = False
        await self._tell("StartOfTurn", turn)

    async def updated(self, turn: Turn) -> None:
        """The turn may be over, or goes on after all, or just goes on."""
        threshold = self._asked.eager_eot_threshold
        if self._is_eager and turn.has_grown:
            self._is_eager = False
            await self._tell("TurnResumed", turn)
        elif threshold is not None and not self._is_eager and _confidence(turn) >= threshold and turn.words:
            self._is_eager = True
            await self._tell("EagerEndOfTurn", turn)
        else:
            await self._tell("Update", turn)

    async def settled(self, turn: Turn, words: list[Spoken]) -> None:
        """Nothing to tell: every message has all of the turn's words."""

    async def ended(self, turn: Turn, *, flushed: bool) -> None:
        """The turn is over; words that came after an eager end make it resumed first."""
        if self._is_eager and turn.has_grown:
            await self._tell("TurnResumed", turn)
        await self._tell("EndOfTurn", turn)
        self._window_s = turn.end_s
        self._turn_index += 1
        self._is_eager = False

    async def _tell(self, event: Event, turn: Turn) -> None:
        words = [*turn.settled, *turn.words]
        message = FluxEvent(
            request_id=self.request_id,
            sequence_id=self._next(),
            event=event,
            turn_index=self._turn_index,
            audio_window_start=round(self._window_s, 3),
            audio_window_end=round(turn.end_s, 3),
            transcript=" ".join(word.text for word in words),
            words=[FluxWord(word=word.text, confidence=round(word.confidence, 4)) for word in words],
            end_of_turn_confidence=_confidence(turn),
        )
        await self.socket.send(message.model_dump())

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1


def _confidence(turn: Turn) -> float:
    """How sure it is that the speaker is done: the share of `CERTAIN_S` that has passed in silence."""
    return round(min(1.0, turn.silence_s / CERTAIN_S), 3)
