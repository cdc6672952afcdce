"""Transducers: words and times equal transformers called directly, alone and in a pass; silence has no words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoProcessor

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.transducer import Engine
from gateway.engines.utterance import LONGEST_S, utterances_in
from gateway.engines.voice import RATE_HZ
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.media import vowels, wav
from gateway.tasks.transcript import Transcript
from tests.engines import tiny_transducer

LISTEN = "automatic-speech-recognition"
NEMOTRON = TASKS.get(LISTEN, "nemotron-speech")
VOWELS = {seconds: decode(vowels(seconds)) for seconds in (0.6, 1.0, 1.4)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("transducers")
    return {kind: tiny_transducer.write(root / kind, kind) for kind in tiny_transducer.KINDS}


@pytest.fixture(scope="module")
def folder(folders: dict[str, Path]) -> Path:
    return folders["nemotron"]


def load(folder: Path, shape: str = "nemotron-speech", **options: Any) -> Engine:
    fields = {"device": "cpu", "dtype": "float32", "threads": 1, "options": options}
    return Engine(
        ModelSpec(name="@t/t", task=LISTEN, shape=shape, engine="transducer", **fields),
        TASKS.get(LISTEN, shape),
        folder,
    )


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load(folder)


def asked(samples: NDArray[np.float32], **query: str) -> Any:
    """A request whose body is these samples as a WAV file."""
    return NEMOTRON.parse_raw(wav((samples * 32767).astype("<i2").tobytes(), RATE_HZ), query)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


@torch.inference_mode()
def direct(folder: Path, samples: NDArray[np.float32]) -> tuple[str, list[dict[str, Any]]]:
    """The text, and each token with its times, that the library itself finds."""
    processor = AutoProcessor.from_pretrained(folder)
    kind = next(kind for name, (_, kind) in tiny_transducer.KINDS.items() if name == folder.name)
    model = kind.from_pretrained(folder, dtype=torch.float32)
    features = processor(samples, sampling_rate=RATE_HZ, return_tensors="pt")
    said = model.generate(**features, max_new_tokens=1000)
    texts, tokens = processor.decode(said.sequences, durations=said.durations, skip_special_tokens=True)
    return str(texts[0]), tokens[0]


def times(transcript: Transcript) -> list[float]:
    return [moment for word in transcript.words() for moment in (word.start, word.end)]


@pytest.mark.parametrize("kind", tiny_transducer.KINDS)
@pytest.mark.parametrize("seconds", VOWELS)
def test_words_and_times_equal_the_library(folders: dict[str, Path], kind: str, seconds: float) -> None:
    (heard,) = load(folders[kind]).run([asked(VOWELS[seconds])])
    assert isinstance(heard, Transcript)
    text, tokens = direct(folders[kind], decode(wav((VOWELS[seconds] * 32767).astype("<i2").tobytes(), RATE_HZ)))
    assert heard.text() == text != ""
    begins = [at["start"] for index, at in enumerate(tokens) if index == 0 or at["token"].startswith(" ")]
    assert [word.start for word in heard.words()] == pytest.approx(begins, abs=0.1)
    assert times(heard) == sorted(times(heard))
    assert times(heard)[-1] <= seconds
    assert len(heard.confidences) == len(heard.words())
    assert all(0 < sure <= 1 for sure in heard.confidences)


@pytest.mark.parametrize("kind", tiny_transducer.KINDS)
def test_neighbours_in_a_pass_change_nothing_and_bad_audio_spares_them(folders: dict[str, Path], kind: str) -> None:
    engine = load(folders[kind])
    good = [asked(samples) for samples in VOWELS.values()]
    *together, bad, quiet = engine.run([*good, NEMOTRON.parse_raw(b"no audio"), asked(silence(1.0))])
    alone = [engine.run([input])[0] for input in good]
    assert [one.segments for one in together] == [one.segments for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.confidences == pytest.approx(other.confidences, abs=1e-3)
    assert isinstance(bad, BadInput)
    assert bad.detail == "'/audio' is not audio in a known format"
    assert (quiet.text(), quiet.segments, quiet.transcription_info.duration) == ("", [], 1.0)


def test_what_is_said_after_a_pause_has_its_own_time(engine: Engine) -> None:
    (once,) = engine.run([asked(VOWELS[1.0])])
    (twice,) = engine.run([asked(np.concatenate([silence(3.0), VOWELS[1.0], silence(4.0), VOWELS[1.0]]))])
    first, second = twice.segments
    assert 2.5 < first.start < first.end < 4.6
    assert 7.5 < second.start < second.end <= 9.0
    assert times(twice) == sorted(times(twice))
    info = twice.transcription_info
    assert info.duration == 9.0
    assert info.duration_after_vad < 4.5
    assert once.transcription_info.language == "en"


def test_speech_without_a_pause_is_heard_in_parts_that_lose_nothing() -> None:
    samples = np.tile(VOWELS[1.0], 70)
    parts = list(utterances_in(samples))
    assert len(parts) > 2
    assert max(len(part.samples) for part in parts) <= (LONGEST_S + 1) * RATE_HZ
    assert sum(len(part.samples) for part in parts) == pytest.approx(len(samples), rel=0.02)
    assert [part.start_s for part in parts] == sorted(part.start_s for part in parts)


def test_each_channel_is_heard_for_itself(folder: Path) -> None:
    nova = load(folder, "nova-3")
    both = np.stack([VOWELS[1.0], silence(1.0)], axis=1)
    file = wav((both * 32767).astype("<i2").tobytes(), RATE_HZ, 2)
    (heard,) = nova.run([nova.task.parse_raw(file, {"multichannel": "true"})])
    result = nova.task.render(heard)["results"]["channels"]
    transcripts = [channel["alternatives"][0]["transcript"] for channel in result]
    assert transcripts[0]
    assert transcripts[1] == ""


@pytest.mark.parametrize(("known_s", "has_words"), [(0.0, True), (9.0, False)])
def test_a_live_window_is_heard_only_if_somebody_spoke_on(folder: Path, known_s: float, has_words: bool) -> None:
    flux = load(folder, "flux")
    samples = (VOWELS[1.0] * 32767).astype("<i2").tobytes()
    query = {"encoding": "linear16", "sample_rate": RATE_HZ, "audio": samples, "window": {"known_s": known_s}}
    (heard,) = flux.run([flux.task.parse(query)])
    hearing = flux.task.render(heard)
    assert (hearing.words is not None) is has_words
    assert hearing.voice


def test_what_it_cannot_do_is_refused(folder: Path) -> None:
    whisper = load(folder, "whisper", max_seconds=0.5)
    german = {"audio": list(vowels(0.2)), "source_lang": "de", "target_lang": "en"}
    translated, long = whisper.run([whisper.task.parse(german), whisper.task.parse({"audio": list(vowels(0.6))})])
    assert isinstance(translated, BadInput)
    assert translated.detail == "'/source_lang': this model does not translate"
    assert isinstance(long, BadInput)
    assert long.detail == "'/audio' must not last longer than 0.5 seconds"
    with pytest.raises(ConfigError, match="beams"):
        load(folder, beams=5)
