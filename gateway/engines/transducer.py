"""Speech recognition by transducers, such as Nemotron's and Parakeet's, with transformers; knows no form of request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faster_whisper.vad import get_vad_model
from pydantic import Field
from transformers import (
    AutoConfig,
    AutoModelForRNNT,
    AutoModelForTDT,
    AutoProcessor,
    LogitsProcessor,
    LogitsProcessorList,
)

from gateway.config import Frozen, ModelSpec
from gateway.engines.audio import MAX_SECONDS, decode, decode_channels
from gateway.engines.options import read_options
from gateway.engines.passes import passes
from gateway.engines.pretrained import load_pretrained
from gateway.engines.torch_engine import TorchEngine
from gateway.engines.transducer_words import Emission, Frames, words_of
from gateway.engines.utterance import Channel, Utterance
from gateway.engines.voice import RATE_HZ
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.speech_recognition import SpeechInput
from gateway.tasks.transcript import Segment, Transcript, TranscriptionInfo

# So much sound is heard in one pass, padding included.
PASS_S = 240.0


class Options(Frozen):
    """`max_seconds`: the longest audio taken; `language`: the one that the model was trained on."""

    max_seconds: float = Field(MAX_SECONDS, gt=0)
    language: str = Field("en", min_length=2)


class Confidence(LogitsProcessor):
    """Changes nothing, but notes how probable the likeliest token of each step was."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """`scores` as they are, shape (rows, tokens)."""
        self.steps.append(scores.float().softmax(-1).amax(-1))
        return scores


class Engine(TorchEngine):
    """Writes down what is said, several utterances in a pass, whosever they are; where nobody speaks is no word."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Load a folder of transformers; raises `ConfigError` for a bad row, or if the weights lack a part."""
        super().__init__(spec, task, files)
        self._options = read_options(Options, spec)
        self._model = load_pretrained(_kind(files), files, self.precision)
        self._processor: Any = AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            files, local_files_only=True, trust_remote_code=False
        )
        extractor, subsampling = self._processor.feature_extractor, self._model.config.encoder_config.subsampling_factor
        self._frame_s = extractor.hop_length * subsampling / extractor.sampling_rate
        get_vad_model()

    @torch.inference_mode()
    def run(self, inputs: Sequence[SpeechInput]) -> Sequence[Transcript | BadInput]:
        """One transcript per input; audio that cannot be used gives that input a `BadInput`."""
        heard = [self._listen(input) for input in inputs]
        utterances = [
            utterance
            for channels in heard
            if not isinstance(channels, BadInput)
            for channel in channels
            for utterance in channel.utterances
        ]
        lengths = [len(utterance.samples) for utterance in utterances]
        for group in passes(lengths, round(PASS_S * RATE_HZ)):
            self._recognise([utterances[index] for index in group])
        return [
            channels if isinstance(channels, BadInput) else self._written(channels, input)
            for channels, input in zip(heard, inputs, strict=True)
        ]

    def _listen(self, input: SpeechInput) -> list[Channel] | BadInput:
        """The channels of an input with their speech, of which nothing is written down yet."""
        if input.decoding().task != "transcribe":
            return BadInput(f"'{input.language_field}': this model does not translate")
        decode_all = decode_channels if input.is_by_channel else decode
        try:
            audio = np.atleast_2d(decode_all(input.file(), RATE_HZ, self._options.max_seconds))
        except BadInput as error:
            return error
        return [Channel.of(samples, input) for samples in audio]

    def _recognise(self, utterances: Sequence[Utterance]) -> None:
        """Hear the utterances in one pass."""
        samples = [utterance.samples for utterance in utterances]
        features = self._processor(samples, sampling_rate=RATE_HZ, return_tensors="pt")
        features["input_features"] = features["input_features"].to(self._model.dtype)
        frames = self._model.encoder._get_subsampling_output_length(features["attention_mask"].sum(-1))
        confidence = Confidence()
        said = self._model.generate(
            **features.to(self._model.device),
            max_new_tokens=int(frames.max()) * self._model.max_symbols_per_step,
            logits_processor=LogitsProcessorList([confidence]),
        )
        # The first token and its duration stand for the beginning; a row that is done goes on until all are.
        sure = torch.stack(confidence.steps, dim=1).cpu()
        starts = (said.durations.cumsum(-1) - said.durations)[:, 1:].cpu()
        for row, utterance in enumerate(utterances):
            emitted = zip(said.sequences[row, 1:].tolist(), starts[row].tolist(), sure[row].tolist(), strict=True)
            utterance.heard = [Emission(*one) for one in emitted if one[1] < frames[row]]

    def _written(self, channels: Sequence[Channel], input: SpeechInput) -> Transcript:
        first, *others = (self._transcript(channel) for channel in channels)
        first.others, first.asked = others, input
        return first

    def _transcript(self, channel: Channel) -> Transcript:
        segments, confidences = [], []
        for utterance in channel.utterances:
            frames = Frames(utterance.start_s, self._frame_s, min(utterance.end_s, channel.seconds))
            found = words_of(utterance.heard, self._processor, frames)
            if found:
                text = "".join(f" {word.word}" for word, _ in found)
                words = [word for word, _ in found]
                segments.append(Segment(start=words[0].start, end=words[-1].end, text=text, words=words))
                confidences += [sure for _, sure in found]
        info = TranscriptionInfo(
            language=self._options.language,
            language_probability=1.0 if channel.utterances else 0.0,
            duration=channel.seconds,
            duration_after_vad=sum(utterance.end_s - utterance.start_s for utterance in channel.utterances),
        )
        return Transcript(transcription_info=info, segments=segments, confidences=confidences, voice=channel.voice)


def _kind(files: Path) -> Any:
    """The class for a folder's model: one that also predicts how long each token lasts (TDT), or one that does not."""
    config = AutoConfig.from_pretrained(files, local_files_only=True, trust_remote_code=False)
    return AutoModelForTDT if hasattr(config, "durations") else AutoModelForRNNT
