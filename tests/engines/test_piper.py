"""A Piper voice says what it is told, in words that speech recognition understands, and knows its bounds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.piper import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.text_to_speech import SpeechOutput
from tests.engines.conftest import starter_files
from tests.engines.speaking import pieces, say

MELOTTS, AURA = TASKS.get("text-to-speech", "melotts"), TASKS.get("text-to-speech", "aura")


def spec(**options: Any) -> ModelSpec:
    return ModelSpec(name="@local/piper", task=MELOTTS.name, engine="piper", options=options)


@pytest.fixture(scope="module")
def files() -> Path:
    """The starter's voice, with espeak-ng."""
    return starter_files("@local/piper-joe")


@pytest.fixture(scope="module")
def engine(files: Path) -> Iterator[Engine]:
    engine = Engine(spec(), MELOTTS, files)
    yield engine
    engine.close()


def seconds(engine: Engine, prompt: str) -> float:
    (output,) = say(engine, MELOTTS, [MELOTTS.parse({"prompt": prompt})])
    assert isinstance(output, SpeechOutput)
    return len(decode(output.audio)) / 16_000


def test_phonemes_keep_the_punctuation_that_the_voice_was_trained_with(engine: Engine) -> None:
    assert engine.phonemes("Hello, world. It costs 3.50; fine?") == (
        "həlˈoʊ, wˈɜːld. ɪt kˈɔsts θɹˈiː pɔɪnt fˈaɪv zˈiəɹoʊ; fˈaɪn?"
    )


@pytest.mark.parametrize("text", ["…", "?!", " \x00 ", "()"])
def test_what_cannot_be_said_is_a_pause(engine: Engine, text: str) -> None:
    assert seconds(engine, text) < 0.5


def test_a_rising_question_and_a_statement_differ(engine: Engine) -> None:
    assert engine._ids(engine.phonemes("You are here.")) != engine._ids(engine.phonemes("You are here?"))


def test_longer_texts_take_longer(engine: Engine) -> None:
    assert seconds(engine, "One, two, three. " * 4) > 2.5 * seconds(engine, "One, two, three.")


def test_sentences_come_one_by_one_and_the_last_piece_says_how_long_it_was(engine: Engine) -> None:
    (found,) = pieces(engine, [AURA.parse({"text": "The first. The second.", "encoding": "linear16"})])
    assert isinstance(found, list)
    assert len(found) == 3
    sound = decode(b"".join(piece.data for piece in found))
    usage = found[-1].usage
    assert usage is not None
    assert usage.audio_s == pytest.approx(len(sound) / 16_000, abs=0.05)
    assert np.abs(sound).max() > 0.1


@pytest.mark.parametrize("language", ["fr", "es-MX", "eng"])
def test_another_language_is_refused(engine: Engine, language: str) -> None:
    (output,) = say(engine, MELOTTS, [MELOTTS.parse({"prompt": "a", "lang": language})])
    assert isinstance(output, BadInput)
    assert output.detail == "'/lang' must be 'en', the only one this model speaks"


@pytest.mark.parametrize("language", ["en", "EN_US", "en-GB"])
def test_its_own_language_in_any_spelling_is_not(engine: Engine, language: str) -> None:
    (output,) = say(engine, MELOTTS, [MELOTTS.parse({"prompt": "a", "lang": language})])
    assert isinstance(output, SpeechOutput)


def test_a_text_that_takes_too_long_is_refused(files: Path, engine: Engine) -> None:
    engine.max_seconds = 1.0
    try:
        (output,) = say(engine, MELOTTS, [MELOTTS.parse({"prompt": "This sentence takes more than a second to say."})])
    finally:
        engine.max_seconds = 3600.0
    assert isinstance(output, BadInput)
    assert "longer than 1 seconds" in output.detail


@pytest.fixture
def broken(files: Path, tmp_path: Path) -> Path:
    """A folder with the voice and without espeak-ng, to be damaged."""
    for name in ("joe.onnx", "joe.onnx.json"):
        shutil.copyfile(files / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("damage", "options", "text"),
    [
        (lambda folder: (folder / "joe.onnx").unlink(), {}, r"one voice \(\*\.onnx\) is expected, there are 0"),
        (lambda folder: shutil.copyfile(folder / "joe.onnx", folder / "b.onnx"), {}, "there are 2"),
        (lambda folder: (folder / "joe.onnx").write_bytes(b"no graph"), {}, "joe.onnx is not an ONNX graph"),
        (lambda folder: (folder / "joe.onnx.json").unlink(), {}, "joe.onnx.json is not a Piper voice's: it is missing"),
        (lambda folder: (folder / "joe.onnx.json").write_text("{}"), {}, "voice's: audio: Field required"),
        (lambda folder: None, {"speaker": 1}, "options.speaker: there are 1"),
    ],
)
def test_what_is_no_voice_is_refused(broken: Path, damage: Any, options: dict[str, Any], text: str) -> None:
    damage(broken)
    with pytest.raises(ConfigError, match=text):
        Engine(spec(**options), MELOTTS, broken)


def test_a_gpu_is_refused_by_name(files: Path) -> None:
    with pytest.raises(ConfigError, match="not on cuda:0"):
        Engine(spec().model_copy(update={"device": "cuda:0"}), MELOTTS, files)
