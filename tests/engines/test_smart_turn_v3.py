"""smart-turn-v3 hears whether a speaker is done: in what a natural voice says, and as the graph itself answers."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from transformers import WhisperFeatureExtractor

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.piper import Engine as Piper
from gateway.engines.smart_turn_v3 import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.text_to_speech import SpeechOutput
from tests.engines.conftest import starter_files
from tests.engines.speaking import say

TASK, SPEAK = TASKS.get("voice-activity-detection"), TASKS.get("text-to-speech", "aura")
RATE_HZ = 16_000


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(name="@local/t", task=TASK.name, engine="smart_turn_v3", **fields)


@pytest.fixture(scope="module")
def graph() -> Path:
    return starter_files("@local/smart-turn-v3")


@pytest.fixture(scope="module")
def engine(graph: Path) -> Engine:
    return Engine(spec(), TASK, graph)


@pytest.fixture(scope="module")
def spoken() -> Iterator[Callable[[str], np.ndarray]]:
    """Samples of a text in a natural voice, with a fifth of a second of silence after it."""
    piper = Piper(ModelSpec(name="@local/p", task=SPEAK.name, engine="piper"), SPEAK, starter_files("@local/piper-joe"))

    def samples(text: str) -> np.ndarray:
        (output,) = say(piper, SPEAK, [SPEAK.parse({"text": text, "encoding": "linear16"})])
        assert isinstance(output, SpeechOutput)
        return np.concatenate([decode(output.audio), np.zeros(RATE_HZ // 20, np.float32)])

    yield samples
    piper.close()


def turn(samples: np.ndarray) -> Any:
    return TASK.parse({"audio": base64.b64encode(samples.astype("<f4").tobytes()).decode(), "dtype": "float32"})


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=round(seconds * RATE_HZ)) * 0.2).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "is_complete"),
    [
        ("The train to London leaves in twenty minutes.", True),
        ("Thank you very much, that is all for today.", True),
        ("The train to London leaves in", False),
        ("Well, I was thinking that maybe we could, um", False),
        ("I think that, uh", False),
    ],
)
def test_it_hears_whether_a_sentence_is_over(
    engine: Engine, spoken: Callable[[str], np.ndarray], text: str, is_complete: bool
) -> None:
    (output,) = engine.run([turn(spoken(text))])
    assert output.is_complete is is_complete


def test_probabilities_are_those_of_the_graph_alone_and_in_a_batch(engine: Engine, graph: Path) -> None:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    extractor = WhisperFeatureExtractor(chunk_length=8)
    sounds = [noise(0.5), noise(3, seed=1), noise(8, seed=2)]
    batch = [output.probability for output in engine.run([turn(samples) for samples in sounds])]
    for samples, probability in zip(sounds, batch, strict=True):
        padded = np.concatenate([np.zeros(8 * RATE_HZ - len(samples), np.float32), samples])
        features = extractor(padded, sampling_rate=RATE_HZ, do_normalize=True, return_tensors="np").input_features
        (expected,) = session.run(None, {"input_features": features})
        assert probability == pytest.approx(float(expected[0, 0]), abs=2e-3)


def test_of_a_long_turn_the_last_eight_seconds_count(engine: Engine) -> None:
    samples = noise(20)
    long, end = engine.run([turn(samples), turn(samples[-8 * RATE_HZ :])])
    assert long.probability == pytest.approx(end.probability, abs=1e-5)


def test_bad_audio_spares_its_neighbours(engine: Engine) -> None:
    infinite = TASK.parse_raw(struct.pack("<f", float("inf")) * 100, {"dtype": "float32"})
    good, bad, broken = engine.run([turn(noise(1)), infinite, TASK.parse_raw(b"RIFFnothing")])
    assert 0 <= good.probability <= 1
    assert isinstance(bad, BadInput)
    assert isinstance(broken, BadInput)


def test_another_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a graph of smart-turn-v3"):
        Engine(spec(), TASK, starter_files("@local/piper-joe") / "joe.onnx")
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"x\.onnx is not an ONNX graph"):
        Engine(spec(), TASK, tmp_path / "x.onnx")
