"""Speech from text by espeak-ng, a formant synthesiser with voices for over a hundred languages; knows no request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from gateway.config import Frozen, ModelSpec
from gateway.engines.audio_encoding import check, encode
from gateway.engines.base import Engine as Base
from gateway.engines.espeak_library import Library, TooLong
from gateway.engines.options import read_options
from gateway.errors import BadInput, GatewayError
from gateway.tasks import Task
from gateway.tasks.text_to_speech import SpeechOutput, Utterance

# The contract's models speak American English; its codes for some languages are not espeak-ng's.
_ALIASES = {"en": "en-us", "en-br": "en-gb", "zh": "cmn", "jp": "ja", "kr": "ko"}
_EXAMPLES = "en, es, fr, de, zh, ja, ko"
_VARIANTS = {
    "angus": "m3",
    "arcas": "m1",
    "orion": "m2",
    "orpheus": "m4",
    "zeus": "m5",
    "perseus": "m7",
    "helios": "m8",
    "asteria": "f1",
    "athena": "f2",
    "hera": "f3",
    "luna": "f4",
    "stella": "f5",
}


class Options(Frozen):
    """`max_seconds`: the longest speech made; a few thousand characters of some scripts are an hour of it."""

    max_seconds: float = Field(3600.0, gt=0)


class Engine(Base):
    """Says any text literally, in the voice of its language and speaker; one engine per process, as the library is."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Start the library in `files`; raises `ModelUnavailable` if it or its data is missing."""
        super().__init__(spec, task, files)
        self._max_seconds = read_options(Options, spec).max_seconds
        self._library = Library(files)

    def run(self, inputs: Sequence[Any]) -> Sequence[SpeechOutput | GatewayError]:
        """One encoded file per input; an input that cannot be spoken as asked gets its `BadInput`."""
        return [self._answer(input) for input in inputs]

    def close(self) -> None:
        """Stop the library."""
        self._library.stop()

    def voice(self, language: str, speaker: str | None) -> str:
        """The voice of a language tag in any spelling (`en`, `EN_US`, `zh`), else of the tag without its last parts.

        Raises `BadInput` for a language without a voice; a speaker without an own variant has the plain voice.
        """
        variant = _VARIANTS.get(speaker or "")
        tag = language.strip().lower().replace("_", "-")
        while tag:
            voice = self._library.voices.get(_ALIASES.get(tag, tag))
            if voice is not None:
                return f"{voice}+{variant}" if variant else voice
            tag = tag.rpartition("-")[0]
        raise BadInput(f"'/lang' must be a language this model speaks, such as {_EXAMPLES}")

    def _answer(self, input: Any) -> SpeechOutput | GatewayError:
        utterance: Utterance = input.utterance()
        try:
            check(utterance.audio)
            voice = self.voice(utterance.language, utterance.speaker)
            samples = self._library.speak(utterance.text, voice, self._max_seconds)
        except TooLong:
            return BadInput(f"'{input.text_field}' must not take longer than {self._max_seconds:g} seconds to say")
        except BadInput as error:
            return error
        audio, media_type = encode(samples, self._library.rate_hz, utterance.audio)
        return SpeechOutput(audio=audio, media_type=media_type)
