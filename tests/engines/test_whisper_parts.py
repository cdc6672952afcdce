"""Speech beyond half a minute is heard in parts, several in one pass, each as the library hears it alone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel

from gateway.config import ModelSpec
from gateway.engines.audio import decode
from gateway.engines.espeak import Engine as Espeak
from gateway.engines.whisper import Engine
from gateway.engines.whisper_parts import LONGEST_S, Part, PartsHearer, is_apart, parts_of
from gateway.tasks import TASKS
from gateway.tasks.speech_recognition import Decoding
from gateway.tasks.transcript import Transcript
from tests.engines import media
from tests.engines.speaking import say

TURBO = TASKS.get("automatic-speech-recognition", "whisper-large-v3-turbo")
MELOTTS = TASKS.get("text-to-speech", "melotts")
UMBRELLA = "Please remember to bring your umbrella because it might rain this afternoon. "
LIBRARY = "The old library on the corner has been closed since March. "
PAUSE_S = 20
APART = {"vad_filter": True, "condition_on_previous_text": False}


@pytest.fixture(scope="module")
def said(espeak_files: Path) -> list[np.ndarray]:
    """The two sentences."""
    espeak = Espeak(ModelSpec(name="@local/e", task=MELOTTS.name, engine="espeak"), MELOTTS, espeak_files)
    outputs = say(espeak, MELOTTS, [MELOTTS.parse({"prompt": text}) for text in (UMBRELLA, LIBRARY)])
    espeak.close()
    return [decode(output.audio) for output in outputs]


@pytest.fixture(scope="module")
def model(whisper_files: Path) -> WhisperModel:
    return WhisperModel(str(whisper_files), device="cpu", compute_type="int8", cpu_threads=2)


def heard(model: WhisperModel, said: list[np.ndarray], **options: Any) -> tuple[list[Part], list[Any]]:
    """The sentences as parts of one sound, and what is heard in them."""
    first, second = map(len, said)
    parts = [Part(0, first), Part(first, first + second)]
    decoding = Decoding(language="en", beam_size=1, **APART, **options)
    return parts, PartsHearer(model).hear(np.concatenate(said), parts, decoding)[0]


def test_long_speech_keeps_its_times_and_becomes_captions_of_sentences(
    whisper_files: Path, said: list[np.ndarray]
) -> None:
    engine = Engine(ModelSpec(name="@l/w", task=TURBO.name, engine="whisper", device="cpu"), TURBO, whisper_files)
    before, after = np.concatenate(said * 4), np.concatenate(said)
    sound = np.concatenate([before, np.zeros(16_000 * PAUSE_S, np.float32), after])
    file = base64.b64encode(media.wav((sound * 32767).astype(np.int16), 16_000)).decode()
    (found,) = engine.run([TURBO.parse({"audio": file, "beam_size": 1, **APART})])
    assert isinstance(found, Transcript)
    assert len(before) + len(after) > 16_000 * LONGEST_S
    end_s = len(before) / 16_000
    early = [segment.text for segment in found.segments if segment.end < end_s + 1]
    late = [segment.text for segment in found.segments if segment.start > end_s + PAUSE_S - 1]
    assert early + late == [segment.text for segment in found.segments]
    assert [sum(word in text for text in early) for word in ("umbrella", "library")] == [4, 4]
    assert [sum(word in text for text in late) for word in ("umbrella", "library")] == [1, 1]
    times = [moment for word in found.words() for moment in (word.start, word.end)]
    assert times == sorted(times)
    assert len(found.confidences) == len(found.words())


def test_each_part_is_what_the_library_hears_in_it_alone(model: WhisperModel, said: list[np.ndarray]) -> None:
    parts, found = heard(model, said)
    for sound, part, segment in zip(said, parts, found, strict=True):
        segments, _ = model.transcribe(sound, "en", beam_size=1, without_timestamps=True, word_timestamps=True)
        expected = next(iter(segments))  # what follows is the rest after the last word, heard once more
        assert segment.text == expected.text
        assert segment.avg_logprob == pytest.approx(expected.avg_logprob, abs=0.05)
        for word, own in zip(segment.words, expected.words, strict=True):
            assert word.word == own.word
            assert word.start == pytest.approx(own.start + part.start_s, abs=0.05)


def test_what_the_model_is_not_sure_of_is_heard_again_with_more_freedom(
    model: WhisperModel, said: list[np.ndarray]
) -> None:
    parts, found = heard(model, said, no_speech_threshold=1, log_prob_threshold=0)
    assert {segment.temperature for segment in found} == {1.0}
    assert found[-1].words[0].start >= parts[1].start_s


def test_a_part_that_the_model_takes_for_silence_has_no_words(model: WhisperModel, said: list[np.ndarray]) -> None:
    assert heard(model, said, no_speech_threshold=0, log_prob_threshold=0)[1] == []


@pytest.mark.parametrize(
    ("lengths_s", "expected_s"),
    [([10, 20], [(0, 30)]), ([10, 21], [(0, 10), (10, 31)]), ([30, 1, 29], [(0, 30), (30, 60)]), ([5], [(0, 5)])],
)
def test_parts_are_cut_where_a_stretch_ends(lengths_s: list[int], expected_s: list[tuple[int, int]]) -> None:
    voiced = [{"start": 16_000 * 100 * n, "end": 16_000 * (100 * n + length)} for n, length in enumerate(lengths_s)]
    assert parts_of(voiced) == [Part(16_000 * start, 16_000 * end) for start, end in expected_s]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (APART, True),
        ({**APART, "vad_filter": False}, False),
        ({**APART, "condition_on_previous_text": True}, False),
        ({**APART, "prefix": "So"}, False),
        ({**APART, "hallucination_silence_threshold": 2.0}, False),
    ],
)
def test_what_needs_the_speech_before_it_is_heard_in_order(options: dict[str, Any], expected: bool) -> None:
    assert is_apart(Decoding(**options)) is expected


@pytest.mark.parametrize(
    ("shape", "audio", "expected"),
    [
        ("whisper", [1], True),
        ("nova-3", {"body": "AAAA", "contentType": "audio/wav"}, True),
        ("whisper-large-v3-turbo", "AAAA", False),
    ],
)
def test_forms_without_options_for_it_are_heard_in_parts(shape: str, audio: Any, expected: bool) -> None:
    input = TASKS.get("automatic-speech-recognition", shape).parse({"audio": audio})
    assert is_apart(input.decoding()) is expected  # type: ignore[attr-defined]
