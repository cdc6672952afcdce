"""Speech from text by espeak-ng, a formant synthesiser with voices for over a hundred languages; knows no request."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from gateway.config import ModelSpec
from gateway.engines.espeak_library import Library
from gateway.engines.options import read_options
from gateway.engines.sentences import sentences
from gateway.engines.speaking import Samples, SpeakingEngine, SpeakingOptions
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.text_to_speech import Utterance

# The contract's models speak American English; its codes for some languages are not espeak-ng's.
_ALIASES = {"en": "en-us", "en-br": "en-gb", "zh": "cmn", "jp": "ja", "kr": "ko"}
_EXAMPLES = "en, es, fr, de, zh, ja, ko"
# The variants of espeak-ng's voices, handed out to the contract's speakers in turn.
_MEN = "angus arcas orion orpheus zeus perseus helios apollo aries atlas draco hermes hyperion jupiter mars neptune"
_MEN += " odysseus pluto saturn sirio nestor alvaro aquila javier"
_WOMEN = "asteria athena hera luna stella amalthea andromeda aurora callista cora cordelia delia electra harmonia"
_WOMEN += " helena iris janus juno minerva ophelia pandora phoebe thalia theia vesta"
_WOMEN += " carina celeste diana selena estrella"
_VARIANTS = dict(zip(_MEN.split(), cycle(("m3", "m1", "m2", "m4", "m5", "m7", "m8")), strict=False))
_VARIANTS |= dict(zip(_WOMEN.split(), cycle(("f1", "f2", "f3", "f4", "f5")), strict=False))


class Engine(SpeakingEngine):
    """Says any text literally, in the voice of its language and speaker; one engine per process, as the library is."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Start the library in `files`; raises `ModelUnavailable` if it or its data is missing."""
        super().__init__(spec, task, files)
        self.max_seconds = read_options(SpeakingOptions, spec).max_seconds
        self._library = Library(files)
        self.rate_hz = self._library.rate_hz

    def begin(self, utterance: Utterance) -> Iterator[Samples]:
        """The sentences one by one; raises `BadInput` for a language without a voice."""
        voice = self.voice(utterance.language, utterance.speaker)
        parts = list(sentences(utterance.text)) or [utterance.text]
        return (self._library.speak(sentence, voice, self.max_seconds) for sentence in parts)

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
