"""Speech recognition in the form of nemotron-speech-streaming: audio in, text and duration out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gateway.tasks.base import Task
from gateway.tasks.speech_audio import AudioObjectOrBase64, Channels, SampleRate, as_file
from gateway.tasks.speech_recognition import COMMON, Decoding, SpeechInput
from gateway.tasks.transcript import Transcript


class NemotronInput(SpeechInput):
    """`audio` as base64 or as an object, or a raw body with the rest in the query; `linear16` has no header."""

    audio: AudioObjectOrBase64
    encoding: Literal["wav", "flac", "ogg", "linear16"] | None = None
    sample_rate: SampleRate = 16_000
    channels: Channels = 1

    def file(self) -> bytes:
        """The audio as a file."""
        if self.encoding == "linear16":
            return as_file(self.audio, "linear16", self.sample_rate, self.channels)
        return self.audio

    def decoding(self) -> Decoding:
        """English, without the pauses in which Whisper invents words."""
        return Decoding(language="en", vad_filter=True)


class NemotronOutput(BaseModel):
    """The text, and the duration of the audio in seconds."""

    text: str
    duration: float


def _render(transcript: Transcript) -> NemotronOutput:
    return NemotronOutput(text=transcript.text(), duration=transcript.transcription_info.duration)


NEMOTRON = Task(
    **COMMON,
    shape="nemotron-speech",
    input=NemotronInput,
    output=NemotronOutput,
    render=_render,
    takes_query=True,
)
