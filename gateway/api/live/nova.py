"""Nova: interim and final results, as Deepgram's first listening protocol tells them (docs/tasks/speech.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.api.choosing import Chosen
from gateway.api.live.listening import ListeningSession
from gateway.api.live.sound import Sound
from gateway.api.live.turn import Turn
from gateway.errors import BadInput
from gateway.tasks.speech_audio import LIVE_RATES_HZ, MAX_LIVE_CHANNELS
from gateway.tasks.speech_nova import NovaInput, language_code
from gateway.tasks.speech_words import Spoken, confidence, joined, nova_words

_SAMPLE_BYTES = {"linear16": 2, "mulaw": 1}
DEFAULT_ENDPOINTING_MS, SHORTEST_ENDPOINTING_MS, LONGEST_ENDPOINTING_MS = 300, 100, 60_000
DEFAULT_UTTERANCE_END_MS = 1000


class NovaSession(ListeningSession):
    """Tells each stretch of speech once for good, and before that as often as it grows, if asked to."""

    flush_command = "Finalize"

    def __init__(self, chosen: Chosen, query: dict[str, Any]) -> None:
        super().__init__(chosen, query)
        asked = self.task.parse({**query, "audio": b"-"})
        assert isinstance(asked, NovaInput)
        if asked.encoding not in _SAMPLE_BYTES:
            raise BadInput("'/encoding' of a WebSocket must be one of 'linear16' or 'mulaw'")
        if asked.sample_rate > LIVE_RATES_HZ[1]:
            raise BadInput(f"'/sample_rate' of a WebSocket must be <= {LIVE_RATES_HZ[1]}")
        if asked.channels > MAX_LIVE_CHANNELS:
            raise BadInput(f"'/channels' of a WebSocket must be <= {MAX_LIVE_CHANNELS}")
        self._asked = asked
        self.parameters = asked.model_dump(exclude_unset=True)
        self.sound = Sound(asked.sample_rate, _SAMPLE_BYTES[asked.encoding] * asked.channels)
        self.end_silence_s = endpointing_s(asked.endpointing)
        self._utterance_end_s = utterance_end_s(asked.utterance_end_ms)
        self._last_word_end_s: float | None = None
        self._told_s = 0.0
        self._created = datetime.now(UTC).isoformat()

    async def idle(self, until_s: float) -> None:
        """Nobody speaks, perhaps for long enough to say so."""
        self._told_s = max(self._told_s, self.sound.start_s)
        await self._tell_utterance_end(until_s)

    async def started(self, turn: Turn) -> None:
        """Speech begins."""
        if self._asked.vad_events:
            await self.socket.send({"type": "SpeechStarted", "channel": [0, 1], "timestamp": round(turn.start_s, 3)})
        await self.updated(turn)

    async def updated(self, turn: Turn) -> None:
        """Speech goes on."""
        if turn.words and turn.has_grown:
            self._last_word_end_s = turn.words[-1].end
            if self._asked.interim_results:
                await self._tell(turn.words, turn.end_s)
        await self._tell_utterance_end(turn.end_s)

    async def settled(self, turn: Turn, words: list[Spoken]) -> None:
        """The first part of long speech is final."""
        await self._tell(words, words[-1].end if words else turn.end_s, is_final=True)

    async def ended(self, turn: Turn, *, flushed: bool) -> None:
        """A pause or the caller made an end."""
        if turn.words:
            self._last_word_end_s = turn.words[-1].end
        await self._tell(turn.words, turn.end_s, is_final=True, speech_final=not flushed, from_finalize=flushed)
        await self._tell_utterance_end(turn.end_s)

    async def closed(self) -> None:
        """The last message says how much was heard and, beyond the protocol, what it would have cost on Cloudflare."""
        spent = self.spent()
        usage = {} if spent is None else {"usage": {"neurons": spent.neurons}}
        await self.socket.send(
            {
                "type": "Metadata",
                "request_id": self.request_id,
                "created": self._created,
                "duration": round(self.sound.end_s, 3),
                "channels": 1,
                **usage,
            }
        )

    async def _tell_utterance_end(self, until_s: float) -> None:
        last_s, pause_s = self._last_word_end_s, self._utterance_end_s
        if pause_s is not None and last_s is not None and until_s - last_s >= pause_s:
            self._last_word_end_s = None
            await self.socket.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": round(last_s, 3)})

    async def _tell(
        self,
        words: list[Spoken],
        end_s: float,
        *,
        is_final: bool = False,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> None:
        punctuate, language = self._asked.has_punctuation, language_code(self._asked.language) or ""
        heard = {
            "transcript": joined(words, language, punctuate=punctuate),
            "confidence": confidence(words),
            "words": nova_words(words, punctuate=punctuate),
        }
        await self.socket.send(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": round(self._told_s, 3),
                "duration": round(max(0.0, end_s - self._told_s), 3),
                "is_final": is_final,
                "speech_final": speech_final,
                "channel": {"alternatives": [heard]},
                "metadata": {"request_id": self.request_id, "model_info": {"name": self.model.spec.name}},
                "from_finalize": from_finalize,
            }
        )
        if is_final:
            self._told_s = end_s


def endpointing_s(value: str | bool | int | None) -> float | None:
    """Seconds of silence that end speech; None if nothing but the caller does. Raises `BadInput`."""
    if value is False or value == "false":
        return None
    if value in (None, True, "true"):
        return DEFAULT_ENDPOINTING_MS / 1000
    text = str(value)
    if not (text.isascii() and text.isdigit() and int(text) <= LONGEST_ENDPOINTING_MS):
        raise BadInput(f"'/endpointing' must be false or from 0 to {LONGEST_ENDPOINTING_MS} milliseconds")
    return max(int(text), SHORTEST_ENDPOINTING_MS) / 1000


def utterance_end_s(value: bool | int | None) -> float | None:
    """Seconds after the last word at which its utterance counts as ended; None if that is not to be told."""
    if value is None or value is False:
        return None
    return DEFAULT_UTTERANCE_END_MS / 1000 if value is True else value / 1000
