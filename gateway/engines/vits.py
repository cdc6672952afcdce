"""Speech from text by a VITS checkpoint in transformers' layout, such as those of MMS; knows no request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from transformers import VitsModel, VitsTokenizer
from transformers.utils.import_utils import is_phonemizer_available

from gateway.config import ConfigError, ModelSpec
from gateway.engines.options import read_options
from gateway.engines.precision import choose, use_threads
from gateway.engines.pretrained import load_pretrained
from gateway.engines.sentences import sentences
from gateway.engines.speaking import Samples, SpeakingEngine, SpeakingOptions
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.text_to_speech import Utterance

_SEED = 0
_PAUSE_S = 0.15


class Options(SpeakingOptions):
    """`language`: the one the checkpoint speaks; `speaker`: which of its voices, where it has several."""

    language: str = Field("en", min_length=2)
    speaker: int = Field(0, ge=0)


class Engine(SpeakingEngine):
    """One voice of one language. The chance in the model is the same for each sentence, and so is its sound."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Load a folder in safetensors; raises `ConfigError` if the row asks for what the checkpoint does not have."""
        super().__init__(spec, task, files)
        options = read_options(Options, spec)
        use_threads(spec)
        # In bfloat16 the flow's inverse loses what makes a voice sound clean.
        precision = choose(spec, offered=("float32",))
        self.device = precision.device
        self.max_seconds = options.max_seconds
        self._tokenizer = VitsTokenizer.from_pretrained(files, local_files_only=True)
        if self._tokenizer.phonemize and not is_phonemizer_available():
            raise ConfigError(f"row {spec.name}: the checkpoint reads phonemes: phonemizer must be installed")
        self._model = load_pretrained(VitsModel, files, precision)
        if options.speaker >= max(1, self._model.config.num_speakers):
            raise ConfigError(f"row {spec.name}: options.speaker: there are {self._model.config.num_speakers}")
        self._speaker = options.speaker
        self._language = options.language.lower()
        self.rate_hz = self._model.config.sampling_rate

    def begin(self, utterance: Utterance) -> Iterator[Samples]:
        """The sentences one by one; raises `BadInput` for another language than the checkpoint's."""
        if utterance.language.lower().replace("_", "-").partition("-")[0] != self._language.partition("-")[0]:
            raise BadInput(f"'/lang' must be '{self._language}', the only one this model speaks")
        parts = list(sentences(utterance.text)) or [utterance.text]
        return (self._speak(sentence) for sentence in parts)

    @torch.inference_mode()
    def _speak(self, sentence: str) -> NDArray[np.float32]:
        """Samples of a sentence, shape (n,), and of the pause after it; of letters unknown to the model, the pause."""
        pause = np.zeros(round(_PAUSE_S * self.rate_hz), np.float32)
        tokens = self._tokenizer(sentence, return_tensors="pt")
        if not tokens["attention_mask"].sum():
            return pause
        torch.manual_seed(_SEED)
        sound = self._model(**tokens.to(self.device), speaker_id=self._speaker).waveform[0]
        return np.concatenate([sound.float().clamp(-1, 1).cpu().numpy(), pause])
