"""Speech recognition by Whisper on CTranslate2 (faster-whisper); knows no request, only what its decoding asks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import restore_speech_timestamps
from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps, get_vad_model
from numpy.typing import NDArray
from pydantic import Field

from gateway.config import ConfigError, Frozen, ModelSpec
from gateway.engines.audio import MAX_SECONDS, decode, decode_channels
from gateway.engines.base import Engine as Base
from gateway.engines.options import read_options
from gateway.engines.voice import voice_in
from gateway.engines.whisper_features import BlockwiseFeatures
from gateway.engines.whisper_parts import LONGEST_S, PartsHearer, at_sentences, is_apart, parts_of
from gateway.errors import BadInput, GatewayError, ModelUnavailable
from gateway.tasks import Task
from gateway.tasks.speech_listening import ListeningInput, is_news
from gateway.tasks.speech_recognition import Decoding, SpeechInput
from gateway.tasks.transcript import Segment, Transcript, TranscriptionInfo, Word

_RATE_HZ = 16_000
_FASTEST_FIRST = {"cpu": ("int8", "int8_float32", "float32"), "cuda": ("float16", "int8_float16", "float32")}


class Options(Frozen):
    """`max_seconds`: the longest audio taken; memory while it runs is about 1 MB per 4 seconds."""

    max_seconds: float = Field(MAX_SECONDS, gt=0)


class Engine(Base):
    """Transcribes one input after the other: word times never run backwards or past the end; silence has no words."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        """Load a CTranslate2 folder; raises `ModelUnavailable` if files are missing, `ConfigError` for the row."""
        super().__init__(spec, task, files)
        if not (files / "tokenizer.json").is_file():
            raise ModelUnavailable("the model's files lack tokenizer.json")
        self.device, device_index = _device(spec)
        self._model = WhisperModel(
            str(files),
            device=self.device,
            device_index=device_index,
            compute_type=_compute_type(spec, self.device, device_index),
            cpu_threads=spec.threads or len(os.sched_getaffinity(0)),
            local_files_only=True,
        )
        self._model.feature_extractor = BlockwiseFeatures(**self._model.feat_kwargs)
        self._parts = PartsHearer(self._model)
        self._max_seconds = read_options(Options, spec).max_seconds
        self._languages = _languages(self._model)
        get_vad_model()

    def run(self, inputs: Sequence[Any]) -> Sequence[Transcript | GatewayError]:
        """One transcript per input; audio or languages that cannot be used give that input a `BadInput`."""
        return [self._answer(input) for input in inputs]

    def _answer(self, input: SpeechInput) -> Transcript | GatewayError:
        decoding = input.decoding()
        try:
            language = self._language(decoding.language, input.language_field)
            decode_all = decode_channels if input.is_by_channel else decode
            audio = np.atleast_2d(decode_all(input.file(), _RATE_HZ, self._max_seconds))
        except BadInput as error:
            return error
        decoding = decoding.model_copy(update={"language": language})
        heard, *others = (self._heard(channel, decoding, input) for channel in audio)
        heard.others, heard.asked = others, input
        return heard

    def _heard(self, audio: NDArray[np.float32], decoding: Decoding, input: SpeechInput) -> Transcript:
        """The transcript of one channel; of a live window only if somebody spoke on."""
        if not isinstance(input, ListeningInput) or input.window is None:
            return self._transcribe(audio, decoding)
        voice = voice_in(audio)
        is_new = is_news(voice, input.window)
        heard = self._transcribe(audio, decoding) if is_new else _silence(audio, decoding.language)
        heard.voice = voice
        return heard

    def _language(self, code: str | None, field: str) -> str | None:
        """The language to decode in; None is for detection. English-only models hear English, whatever is asked."""
        if not self._model.model.is_multilingual:
            return "en"
        if code is None or code.lower() in self._languages:
            return code and code.lower()
        raise BadInput(f"'{field}' must be one of {', '.join(self._languages)}")

    def _transcribe(self, audio: NDArray[np.float32], decoding: Decoding) -> Transcript:
        seconds = len(audio) / _RATE_HZ
        # Whisper hears words in silence and noise: where the voice detector finds no voice, it is not asked.
        voiced = get_speech_timestamps(
            audio, VadOptions(max_speech_duration_s=LONGEST_S) if is_apart(decoding) else None
        )
        if not voiced:
            return _silence(audio, decoding.language)
        if decoding.vad_filter:
            audio = np.concatenate(collect_chunks(audio, voiced)[0])
        segments, found = self._segments(audio, voiced, decoding)
        info = _info(found.language, found.language_probability, seconds, len(audio) / _RATE_HZ)
        confidences = [float(word.probability) for segment in segments for word in segment.words]
        return Transcript(transcription_info=info, segments=_ordered(segments, seconds), confidences=confidences)

    def _segments(
        self, audio: NDArray[np.float32], voiced: list[dict[str, int]], decoding: Decoding
    ) -> tuple[list[Any], Any]:
        """faster-whisper's segments, in times of the whole, and what it says of the language."""
        parts = parts_of(voiced) if is_apart(decoding) else []
        if len(parts) > 1:
            heard, found = self._parts.hear(audio, parts, decoding)
            return list(at_sentences(restore_speech_timestamps(heard, voiced, _RATE_HZ))), found
        options = decoding.model_dump(exclude={"vad_filter"})
        segments, found = self._model.transcribe(audio, word_timestamps=True, **options)
        if decoding.vad_filter:
            segments = restore_speech_timestamps(segments, voiced, _RATE_HZ)
        return list(segments), found


def _device(spec: ModelSpec) -> tuple[str, int]:
    """The device and its index for a row's `device`; raises `ConfigError` if it is not there."""
    found = ctranslate2.get_cuda_device_count()
    if spec.device == "cpu" or (spec.device == "auto" and not found):
        return "cpu", 0
    index = int(spec.device.partition(":")[2] or 0)
    if index >= found:
        raise ConfigError(f"row {spec.name}: device: {spec.device} is not there (CUDA devices found: {found})")
    return "cuda", index


def _compute_type(spec: ModelSpec, device: str, index: int) -> str:
    """The row's number type, or the fastest the device supports; raises `ConfigError` if it does not support it."""
    supported = ctranslate2.get_supported_compute_types(device, index)
    if spec.dtype == "auto":
        return next(name for name in _FASTEST_FIRST[device] if name in supported)
    if spec.dtype not in supported:
        listed = ", ".join(sorted(supported))
        raise ConfigError(f"row {spec.name}: dtype: {spec.dtype} is not supported by the {device} here ({listed} are)")
    return spec.dtype


def _languages(model: WhisperModel) -> tuple[str, ...]:
    """The languages that have a token of their own; older multilingual models lack the newer ones."""
    return tuple(code for code in model.supported_languages if model.hf_tokenizer.token_to_id(f"<|{code}|>"))


def _silence(audio: NDArray[np.float32], language: str | None) -> Transcript:
    """The transcript of audio in which nobody is listened to."""
    return Transcript(transcription_info=_info(language or "en", 0.0, len(audio) / _RATE_HZ, 0.0), segments=[])


def _info(language: str, probability: float, seconds: float, kept_seconds: float) -> TranscriptionInfo:
    return TranscriptionInfo(
        language=language,
        language_probability=float(probability),
        duration=seconds,
        duration_after_vad=kept_seconds,
    )


def _ordered(segments: Iterable[Any], seconds: float) -> list[Segment]:
    """faster-whisper's segments with times that never run backwards nor past `seconds`."""
    ordered, last, end = [], 0.0, math.floor(seconds * 1000) / 1000

    def clamp(moment: float) -> float:
        nonlocal last
        last = min(max(round(float(moment), 3), last), end)
        return last

    for found in segments:
        start = clamp(found.start)
        words = [Word(word=word.word.strip(), start=clamp(word.start), end=clamp(word.end)) for word in found.words]
        ordered.append(
            Segment(
                start=start,
                end=clamp(found.end),
                text=found.text,
                temperature=float(found.temperature),
                avg_logprob=float(found.avg_logprob),
                compression_ratio=float(found.compression_ratio),
                no_speech_prob=float(found.no_speech_prob),
                words=words,
            )
        )
    return ordered
