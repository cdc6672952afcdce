"""Speech while it is being made: sentence after sentence synthesised, encoded and handed out; knows no synthesiser."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import Field

from gateway.config import Frozen
from gateway.engines.audio_encoding import Encoder, check
from gateway.engines.base import StreamEngine
from gateway.errors import BadInput, GatewayError, InferenceFailed
from gateway.tasks import Piece, Usage
from gateway.tasks.text_to_speech import Utterance

_log = structlog.get_logger("gateway.worker")
Samples = NDArray[np.int16] | NDArray[np.float32]


class SpeakingOptions(Frozen):
    """`max_seconds`: the longest speech made; a few thousand characters of some scripts are an hour of it."""

    max_seconds: float = Field(3600.0, gt=0)


class Speech:
    """One text on its way: its sentences to come, and the encoder they go through."""

    def __init__(self, sounds: Iterator[Samples], encoder: Encoder, rate_hz: int, max_seconds: float) -> None:
        self._sounds = sounds
        self._encoder = encoder
        self._rate_hz = rate_hz
        self._max_seconds = max_seconds
        self._seconds = 0.0
        self._media_type: str | None = encoder.media_type

    def next(self) -> Piece | None:
        """The next sentence; None if it is too long for the rest of the allowance. The first piece names the type."""
        extra = {"media_type": self._media_type} if self._media_type else {}
        self._media_type = None
        samples = next(self._sounds, None)
        if samples is None:
            said = Usage(audio_s=self._seconds)
            return Piece(data=self._encoder.finish(), finish_reason="stop", extra=extra, usage=said)
        self._seconds += len(samples) / self._rate_hz
        return Piece(data=self._encoder.add(samples), extra=extra) if self._seconds <= self._max_seconds else None


class SpeakingEngine(StreamEngine):
    """Speaks the texts inside in turn, a sentence each, so that a long one does not keep a short one waiting."""

    rate_hz: int
    max_seconds: float

    @abstractmethod
    def begin(self, utterance: Utterance) -> Iterator[Samples]:
        """The sentences as mono samples at `rate_hz`, made as they are taken. Raises `BadInput` before the first."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._inside: dict[int, tuple[Any, Speech]] = {}
        self._order: deque[int] = deque()

    def admit(self, id: int, input: Any) -> None:
        """Take in one text; raises `BadInput` if it cannot be spoken, or not be encoded, as asked."""
        utterance: Utterance = input.utterance()
        check(utterance.audio)
        sounds = self.begin(utterance)
        encoder = Encoder(self.rate_hz, utterance.audio, is_whole=utterance.is_whole)
        self._inside[id] = (input, Speech(sounds, encoder, self.rate_hz, self.max_seconds))
        self._order.append(id)

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """The next sentence of one text; what goes wrong with it spares the others."""
        id = self._order.popleft()
        input, speech = self._inside[id]
        try:
            piece: Piece | GatewayError = speech.next() or self._too_long(input)
        except GatewayError as error:
            piece = error
        except Exception:
            _log.exception("a text could not be spoken")
            piece = InferenceFailed()
        if isinstance(piece, Piece) and piece.finish_reason is None:
            self._order.append(id)
        else:
            del self._inside[id]
        return [(id, piece)]

    def _too_long(self, input: Any) -> BadInput:
        return BadInput(f"'{input.text_field}' must not take longer than {self.max_seconds:g} seconds to say")

    def drop(self, id: int) -> None:
        """Say no more of a text."""
        if self._inside.pop(id, None) is not None:
            self._order.remove(id)
