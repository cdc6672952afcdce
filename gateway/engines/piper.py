"""Speech from text by a Piper voice: espeak-ng's phonemes, read out by a VITS network as an ONNX graph."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from gateway.config import ConfigError, ModelSpec, describe
from gateway.engines.espeak_library import Library
from gateway.engines.onnx import open_graph
from gateway.engines.options import read_options
from gateway.engines.sentences import sentences
from gateway.engines.speaking import Samples, SpeakingEngine, SpeakingOptions
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.text_to_speech import Utterance

_PAUSE_S = 0.15
_START, _END, _BLANK = "^", "$", "_"
# What is said in one breath, and the marks after it, which espeak-ng leaves out and the network was trained with.
_CLAUSE = re.compile(r"(.+?)([,;:.!?]+)(?=\s|$)|(.+)$", re.DOTALL)


class Options(SpeakingOptions):
    """`speaker`: which of the voices, where the graph has several."""

    speaker: int = Field(0, ge=0)


class _Audio(BaseModel):
    sample_rate: int = Field(gt=0)


class _Espeak(BaseModel):
    voice: str = Field(min_length=2)


class _Inference(BaseModel):
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class VoiceFile(BaseModel):
    """What the JSON file beside a voice's graph says that matters here."""

    audio: _Audio
    espeak: _Espeak
    inference: _Inference = _Inference()
    phoneme_id_map: dict[str, list[int]]
    num_speakers: int = Field(1, ge=1)

    @classmethod
    def read(cls, path: Path, name: str) -> VoiceFile:
        """The file at `path`; raises `ConfigError`, naming the row `name`, if it is not one."""
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            reason = describe(error) if isinstance(error, ValidationError) else "it is missing, or no JSON"
            raise ConfigError(f"row {name}: {path.name} is not a Piper voice's: {reason}") from error


class Engine(SpeakingEngine):
    """Says texts in the one language of the voice; one engine per process, as espeak-ng's library has one state."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Load the one `*.onnx` in `files`, its `.onnx.json` and espeak-ng beside it; raises `ConfigError`."""
        super().__init__(spec, task, files)
        options = read_options(Options, spec)
        self.max_seconds = options.max_seconds
        graphs = sorted(files.glob("*.onnx"))
        if len(graphs) != 1:
            raise ConfigError(f"row {spec.name}: one voice (*.onnx) is expected, there are {len(graphs)}")
        self._voice = VoiceFile.read(graphs[0].with_name(f"{graphs[0].name}.json"), spec.name)
        if options.speaker >= self._voice.num_speakers:
            raise ConfigError(f"row {spec.name}: options.speaker: there are {self._voice.num_speakers}")
        self._speaker = options.speaker
        self._graph = open_graph(graphs[0], spec)
        self._library = Library(files)
        self.rate_hz = self._voice.audio.sample_rate

    def begin(self, utterance: Utterance) -> Iterator[Samples]:
        """The sentences one by one; raises `BadInput` for another language than the voice's."""
        own = self._voice.espeak.voice.partition("-")[0]
        if re.split("[-_]", utterance.language.lower())[0] != own:
            raise BadInput(f"'/lang' must be '{own}', the only one this model speaks")
        parts = list(sentences(utterance.text)) or [utterance.text]
        return (self._speak(sentence) for sentence in parts)

    def close(self) -> None:
        """Stop espeak-ng."""
        self._library.stop()

    def phonemes(self, text: str) -> str:
        """How `text` is pronounced, in IPA, with its punctuation."""
        said = []
        for clause, marks, rest in _CLAUSE.findall(text):
            spoken = self._library.phonemes(clause or rest, self._voice.espeak.voice)
            said.append(spoken + marks[:1] if spoken else "")
        return " ".join(filter(None, said))

    def _ids(self, phonemes: str) -> list[int]:
        """The network's ids, blanks in between; what the voice has no id for is left out."""
        known = self._voice.phoneme_id_map
        ids = [*known[_START], *known[_BLANK]]
        for phoneme in unicodedata.normalize("NFD", phonemes):
            if phoneme in known:
                ids += [*known[phoneme], *known[_BLANK]]
        return [*ids, *known[_END]]

    def _speak(self, sentence: str) -> NDArray[np.float32]:
        """Samples of a sentence, shape (n,), and of the pause after it; of nothing that can be said, the pause."""
        pause = np.zeros(round(_PAUSE_S * self.rate_hz), np.float32)
        phonemes = self.phonemes(sentence)
        if not phonemes:
            return pause
        ids, voice = self._ids(phonemes), self._voice.inference
        inputs: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([voice.noise_scale, voice.length_scale, voice.noise_w], np.float32),
        }
        if self._voice.num_speakers > 1:
            inputs["sid"] = np.array([self._speaker], np.int64)
        (sound,) = self._graph.run(None, inputs)
        return np.concatenate([np.clip(np.ravel(sound), -1, 1), pause])
