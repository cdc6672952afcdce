"""Whisper hears what was said, and when; nothing in silence; and each input for itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from faster_whisper import WhisperModel
from faster_whisper.feature_extractor import FeatureExtractor

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.espeak import Engine as Espeak
from gateway.engines.whisper import Engine
from gateway.engines.whisper_features import BlockwiseFeatures
from gateway.errors import BadInput, ModelUnavailable
from gateway.tasks import TASKS
from gateway.tasks.transcript import Transcript
from tests.engines import media, tiny_whisper
from tests.engines.speaking import say

PLAIN = TASKS.get("automatic-speech-recognition", "whisper")
TURBO = TASKS.get("automatic-speech-recognition", "whisper-large-v3-turbo")
MELOTTS = TASKS.get("text-to-speech", "melotts")
UMBRELLA = "Please remember to bring your umbrella because it might rain this afternoon."
LIBRARY = "The old library on the corner has been closed since March."
# A model of random weights is never sure: without these it tries again and again.
SURE: dict[str, Any] = {"log_prob_threshold": -100, "compression_ratio_threshold": 100, "beam_size": 1}

Say = Callable[[str], bytes]


def row(**fields: Any) -> ModelSpec:
    return ModelSpec(name="@local/w", task=PLAIN.name, engine="whisper", **{"device": "cpu", **fields})


@pytest.fixture(scope="module")
def engine(whisper_files: Path) -> Engine:
    return Engine(row(), PLAIN, whisper_files)


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(row(), PLAIN, tiny_whisper.write(tmp_path_factory.mktemp("whisper")))


@pytest.fixture(scope="module")
def said(espeak_files: Path) -> dict[str, bytes]:
    """MP3 files of the sentences."""
    espeak = Espeak(ModelSpec(name="@local/e", task=MELOTTS.name, engine="espeak"), MELOTTS, espeak_files)
    outputs = say(espeak, MELOTTS, [MELOTTS.parse({"prompt": text}) for text in (UMBRELLA, LIBRARY)])
    espeak.close()
    return dict(zip((UMBRELLA, LIBRARY), (output.audio for output in outputs), strict=True))


def plain(audio: bytes, **fields: Any) -> Any:
    return PLAIN.parse({"audio": audio, **fields})


def turbo(audio: bytes, **fields: Any) -> Any:
    return TURBO.parse({"audio": base64.b64encode(audio).decode(), **fields})


def run(engine: Engine, input: Any) -> Transcript:
    (output,) = engine.run([input])
    assert isinstance(output, Transcript)
    return output


def file_of(*parts: np.ndarray) -> bytes:
    return media.wav((np.concatenate(parts) * 32767).astype(np.int16), 16_000)


def heard(text: str) -> set[str]:
    return {word.strip(".,").lower() for word in text.split()}


@pytest.mark.parametrize("form", [plain, turbo])
def test_synthesised_speech_is_heard(engine: Engine, said: dict[str, bytes], form: Callable[..., Any]) -> None:
    text = run(engine, form(said[UMBRELLA])).text()
    assert {"remember", "umbrella", "rain", "afternoon"} <= heard(text)


def test_inputs_of_a_batch_are_neither_mixed_nor_harmed_by_bad_ones(engine: Engine, said: dict[str, bytes]) -> None:
    inputs = [plain(said[LIBRARY]), plain(b"no audio"), turbo(said[UMBRELLA]), plain(media.wav(media.tone(1), 1))]
    library, text, umbrella, rate = engine.run(inputs)
    assert {"corner", "closed"} <= heard(library.text())
    assert {"umbrella", "afternoon"} <= heard(umbrella.text())
    assert not heard(library.text()) & {"umbrella", "afternoon"}
    for error in (text, rate):
        assert isinstance(error, BadInput)
        assert error.detail.startswith("'/audio' ")


@pytest.mark.parametrize("vad", [False, True])
def test_the_transcript_is_faster_whispers_own(
    engine: Engine, whisper_files: Path, said: dict[str, bytes], vad: bool
) -> None:
    clip = file_of(decode(said[UMBRELLA]), np.zeros(16_000 * 4, np.float32), decode(said[LIBRARY]))
    model = WhisperModel(str(whisper_files), device="cpu", compute_type="int8", cpu_threads=2)
    segments, info = model.transcribe(io.BytesIO(clip), word_timestamps=True, vad_filter=vad, language="en")
    expected = list(segments)
    found = run(engine, turbo(clip, vad_filter=vad))
    assert [segment.text for segment in found.segments] == [segment.text for segment in expected]
    assert [segment.avg_logprob for segment in found.segments] == [segment.avg_logprob for segment in expected]
    assert [(word.word, word.start, word.end) for word in found.words()] == [
        (word.word.strip(), pytest.approx(word.start, abs=1e-3), pytest.approx(word.end, abs=1e-3))
        for segment in expected
        for word in segment.words
    ]
    assert found.transcription_info.duration_after_vad == info.duration_after_vad


def noise(loudness: float) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=16_000 * 5) * loudness).astype(np.float32)


@pytest.mark.parametrize("form", [plain, turbo])
@pytest.mark.parametrize(
    "samples",
    [np.zeros(1, np.float32), np.zeros(16_000 * 5, np.float32), noise(0.01), noise(0.2), media.tone(5, 16_000) / 32768],
    ids=["a sample", "silence", "faint noise", "loud noise", "tone"],
)
def test_where_nobody_speaks_there_are_no_words(engine: Engine, samples: np.ndarray, form: Callable[..., Any]) -> None:
    transcript = run(engine, form(file_of(samples)))
    assert (transcript.text(), transcript.words(), transcript.segments) == ("", [], [])
    assert transcript.transcription_info.duration == len(samples) / 16_000


def test_words_after_a_pause_keep_their_time_and_the_pause_stays_silent(engine: Engine, said: dict[str, bytes]) -> None:
    first, second = decode(said[UMBRELLA]), decode(said[LIBRARY])
    pause = np.zeros(16_000 * 20, np.float32)
    transcript = run(engine, plain(file_of(first, pause, second, pause)))
    start = (len(first) + len(pause)) / 16_000
    early = [word for word in transcript.words() if word.end <= len(first) / 16_000 + 0.5]
    late = [word for word in transcript.words() if word.start >= start - 0.5]
    assert len(early) + len(late) == len(transcript.words())
    assert "umbrella" in heard(" ".join(word.word for word in early))
    assert "corner" in heard(" ".join(word.word for word in late))


def test_word_times_run_forwards_and_end_in_time(engine: Engine, multilingual: Engine, said: dict[str, bytes]) -> None:
    clip = said[LIBRARY]
    for transcript in (run(engine, plain(clip)), run(multilingual, turbo(clip, **SURE))):
        times = [moment for word in transcript.words() for moment in (word.start, word.end)]
        assert times == sorted(times)
        assert transcript.words()
        assert times[-1] <= transcript.transcription_info.duration
        assert all(0 <= s.start <= s.end <= transcript.transcription_info.duration for s in transcript.segments)


def test_the_contract_answers(engine: Engine, said: dict[str, bytes]) -> None:
    answer = orjson.loads(PLAIN.encode(run(engine, plain(said[LIBRARY]))).body)
    assert set(answer) == {"text", "word_count", "words", "vtt"}
    assert answer["word_count"] == len(answer["words"])
    assert answer["vtt"].startswith("WEBVTT\n\n00:00:00.")
    segments = orjson.loads(TURBO.encode(run(engine, turbo(said[LIBRARY]))).body)["segments"]
    assert segments[0]["words"][0].keys() == {"word", "start", "end"}


def test_an_english_model_hears_english_whatever_is_asked(engine: Engine, said: dict[str, bytes]) -> None:
    expected = run(engine, turbo(said[LIBRARY])).text()
    for fields in ({"language": "fr", "task": "translate"}, {"language": "xx"}):
        transcript = run(engine, turbo(said[LIBRARY], **fields))
        assert transcript.transcription_info.language == "en"
        assert transcript.text() == expected


def test_a_multilingual_model_detects_or_takes_the_language(multilingual: Engine, said: dict[str, bytes]) -> None:
    clip = said[LIBRARY]
    guessed = run(multilingual, turbo(clip, **SURE)).transcription_info
    assert 0 < guessed.language_probability < 1
    for code in ("fr", "FR"):
        assert run(multilingual, turbo(clip, language=code, **SURE)).transcription_info.language == "fr"


def test_silence_in_no_known_language_has_no_words(multilingual: Engine) -> None:
    assert run(multilingual, plain(file_of(np.zeros(16_000, np.float32)))).segments == []


@pytest.mark.parametrize("code", ["xx", "english", "yue", ""])
def test_a_language_the_model_lacks_is_refused_by_field(
    multilingual: Engine, said: dict[str, bytes], code: str
) -> None:
    outputs = multilingual.run([turbo(said[LIBRARY], language=code), plain(said[LIBRARY], source_lang=code)])
    for output, field in zip(outputs, ("/language", "/source_lang"), strict=True):
        assert isinstance(output, BadInput)
        assert output.detail.startswith(f"'{field}' must be one of ")
        assert ", de, el, en, es," in output.detail


@pytest.mark.parametrize(
    "fields",
    [
        {"initial_prompt": "word " * 2000, "prefix": "hello " * 1500},
        {"initial_prompt": "<|startoftranscript|><|endoftext|>" * 50},
        {"prefix": "<|0.00|><|30.00|>" * 100},
        {"hallucination_silence_threshold": 0.1, "vad_filter": True, "condition_on_previous_text": False},
        {"no_speech_threshold": 0},
    ],
)
def test_options_at_their_bounds_are_survived(
    multilingual: Engine, said: dict[str, bytes], fields: dict[str, Any]
) -> None:
    run(multilingual, turbo(said[LIBRARY], language="en", **SURE | fields))


def test_audio_beyond_the_bound_is_refused(whisper_files: Path, said: dict[str, bytes]) -> None:
    engine = Engine(row(options={"max_seconds": 2}), PLAIN, whisper_files)
    (output,) = engine.run([plain(said[UMBRELLA])])
    assert isinstance(output, BadInput)
    assert output.detail == "'/audio' must not last longer than 2 seconds"


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 4000, 160_000, 160_079, 160_080, 160_081, 163_840])
def test_features_made_in_blocks_are_the_same(samples: int) -> None:
    waveform = noise(0.2).repeat(4)[:samples]
    blockwise = BlockwiseFeatures()
    blockwise.block_frames = 100
    assert np.allclose(blockwise(waveform), FeatureExtractor()(waveform), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dtype": "bfloat16"}, "dtype"),
        ({"device": "cuda:63"}, "device"),
        ({"options": {"max_second": 2}}, "max_second"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_field(whisper_files: Path, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^row @local/w: .*{text}"):
        Engine(row(**fields), PLAIN, whisper_files)


def test_a_folder_without_a_tokenizer_is_not_looked_up_elsewhere(tmp_path: Path, whisper_files: Path) -> None:
    for file in whisper_files.iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json"):
        Engine(row(), PLAIN, tmp_path)
