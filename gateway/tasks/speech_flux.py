"""Speech recognition in the form of flux: live only, in turns (docs/tasks/speech.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.tasks import media
from gateway.tasks.base import Task
from gateway.tasks.speech_audio import LiveSampleRate
from gateway.tasks.speech_listening import Hearing, ListeningInput, Window, hearing
from gateway.tasks.speech_recognition import COMMON, Decoding
from gateway.tasks.transcript import Transcript
from gateway.tasks.validation import ByteArray

Event = Literal["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class FluxInput(ListeningInput):
    """The parameters of a session; `audio` and `window` are set by the session itself."""

    audio: SkipJsonSchema[ByteArray] = b""
    encoding: Literal["linear16"]
    sample_rate: LiveSampleRate
    eager_eot_threshold: Annotated[float, Field(ge=0.3, le=0.9)] | None = None
    eot_threshold: Annotated[float, Field(ge=0.5, le=0.9)] = 0.7
    eot_timeout_ms: Annotated[int, Field(ge=500, le=10_000)] = 5000
    keyterm: Annotated[list[Annotated[str, Field(max_length=200)]], BeforeValidator(_listed), Field(max_length=100)] = (
        Field(default_factory=list)
    )
    mip_opt_out: bool = False
    tag: str | list[str] | None = None

    def file(self) -> bytes:
        """The window as a WAV file."""
        return media.wav(self.audio, self.sample_rate)

    def decoding(self) -> Decoding:
        """Each window for itself; the terms are Whisper's prompt."""
        return Decoding(initial_prompt=", ".join(self.keyterm) or None, condition_on_previous_text=False)


class FluxWord(TypedDict):
    """A word as it was written down."""

    word: str
    confidence: float


class FluxEvent(BaseModel):
    """One message of a session."""

    type: Literal["TurnInfo"] = "TurnInfo"
    request_id: str
    sequence_id: int
    event: Event
    turn_index: int
    audio_window_start: float
    audio_window_end: float
    transcript: str
    words: list[FluxWord]
    end_of_turn_confidence: float


def _render(transcript: Transcript) -> Hearing:
    return hearing(transcript, transcript.asked.window or Window.model_validate({}))


_WAV_HEADER_BYTES = 44
_CANARY = {"audio": media.vowels(0.5)[_WAV_HEADER_BYTES:], "encoding": "linear16", "sample_rate": 16_000}
_LIVE = COMMON | {"media_field": None, "canary": _CANARY}
FLUX = Task(**_LIVE, shape="flux", input=FluxInput, output=FluxEvent, render=_render, takes_query=True, is_live=True)
