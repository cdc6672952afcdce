"""Ends of turns: the network equals a plain reading of its definition, and silence alone tells less but something."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.silero_turn import Engine as Silero
from gateway.engines.smart_turn import EndOfTurn, Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.media import vowels
from tests.engines import media

TASK = TASKS.get("voice-activity-detection")
RATE_HZ = 16_000


def spec(engine: str, **fields: Any) -> ModelSpec:
    return ModelSpec(name="@local/t", task=TASK.name, engine=engine, **{"device": "cpu", **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the real architecture, small, with random weights."""
    path = tmp_path_factory.mktemp("turn")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        initializer_range=0.3,
    )
    EndOfTurn(config).save_pretrained(path)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(spec("smart_turn", dtype="float32"), TASK, folder)


def turn(samples: np.ndarray, dtype: str = "float32") -> Any:
    raw = samples.astype({"float32": "<f4", "float64": "<f8"}[dtype]).tobytes()
    return TASK.parse({"audio": base64.b64encode(raw).decode(), "dtype": dtype})


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=round(seconds * RATE_HZ)) * 0.2).clip(-1, 1).astype(np.float32)


@torch.inference_mode()
def expected(folder: Path, samples: np.ndarray) -> float:
    """The published definition, written down step by step with the library's encoder."""
    weights = load_file(folder / "model.safetensors")
    encoder = Wav2Vec2Model.from_pretrained(folder, key_mapping={"^wav2vec2.": ""}).eval()
    length = 16 * RATE_HZ
    x = np.zeros(length, np.float32)
    x[: len(samples)] = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    mask = torch.zeros(1, length, dtype=torch.long)
    mask[:, : len(samples)] = 1
    hidden = encoder(torch.from_numpy(x)[None], attention_mask=mask).last_hidden_state[0]
    kept = [frame for frame in range(len(hidden)) if mask[0, int(frame * (length / len(hidden)))]]

    def linear(name: str, values: torch.Tensor) -> torch.Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    scores = linear("pool_attention.2", linear("pool_attention.0", hidden[kept]).tanh())
    pooled = (scores.softmax(0) * hidden[kept]).sum(0)
    x1 = linear("classifier.0", pooled)
    x1 = (x1 - x1.mean()) / (x1.var(unbiased=False) + 1e-5).sqrt()
    x1 = x1 * weights["classifier.1.weight"] + weights["classifier.1.bias"]
    x2 = linear("classifier.4", torch.nn.functional.gelu(x1))
    return float(linear("classifier.6", torch.nn.functional.gelu(x2)).sigmoid())


def test_probabilities_are_those_of_the_definition_alone_and_in_a_batch(engine: Engine, folder: Path) -> None:
    sounds = [noise(0.5), noise(3, seed=1), noise(16, seed=2)]
    batch = [output.probability for output in engine.run([turn(samples) for samples in sounds])]
    assert batch == pytest.approx([expected(folder, samples) for samples in sounds], abs=1e-4)
    assert len({round(probability, 3) for probability in batch}) > 1
    for samples, probability in zip(sounds, batch, strict=True):
        (alone,) = engine.run([turn(samples)])
        assert alone.probability == pytest.approx(probability, abs=1e-4)
        assert alone.is_complete == (alone.probability > 0.5)


def test_of_a_long_turn_the_end_counts(engine: Engine) -> None:
    samples = noise(20)
    long, end = engine.run([turn(samples), turn(samples[-16 * RATE_HZ :])])
    assert long.probability == pytest.approx(end.probability, abs=1e-5)


def test_every_way_to_send_samples_says_the_same(engine: Engine) -> None:
    samples = np.round(noise(1) * 32767).astype("<i2")
    floats = samples / 32768.0
    raw = TASK.parse_raw(samples.tobytes())
    file = TASK.parse_raw(media.wav(samples, RATE_HZ))
    wrapped = {"body": base64.b64encode(samples.tobytes()).decode(), "contentType": "application/octet-stream"}
    inputs = [turn(floats), turn(floats, "float64"), raw, file, TASK.parse({"audio": wrapped, "dtype": "uint8"})]
    first, *others = (output.probability for output in engine.run(inputs))
    assert others == pytest.approx([first] * 4, abs=1e-5)


def test_what_is_measured_is_the_whole_turn_not_the_end_that_is_heard(engine: Engine, tmp_path: Path) -> None:
    samples = noise(20.5)
    whole = np.round(samples * 32767).astype("<i2")
    raw, file = TASK.parse_raw(whole.tobytes()), TASK.parse_raw(media.wav(whole, RATE_HZ))
    inputs = [turn(samples), turn(samples, "float64"), raw, file]
    for judge in (engine, Silero(spec("silero_turn"), TASK, tmp_path)):
        assert [TASK.measure(*pair).audio_s for pair in zip(inputs, judge.run(inputs), strict=True)] == [20.5] * 4


@pytest.mark.parametrize("encoding", ["mp3", "aac", "opus", "flac", "linear16", "mulaw"])
def test_files_of_every_kind_are_read_as_files(tmp_path: Path, encoding: str) -> None:
    file = media.encoded(media.tone(2.0), encoding)
    if encoding == "mp3":
        tags = 10 + int.from_bytes(file[8:10])  # as of a stream that was joined late: frames alone
        assert file[:3] == b"ID3"
        file = file[tags:]
    (judged,) = Silero(spec("silero_turn"), TASK, tmp_path).run([TASK.parse_raw(file)])
    assert TASK.measure(None, judged).audio_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("first", [-1, -1025, -1281, -3585])
def test_samples_that_begin_like_a_frame_are_samples(tmp_path: Path, first: int) -> None:
    samples = np.round(noise(1.0) * 32767).astype("<i2")
    samples[0] = first
    (judged,) = Silero(spec("silero_turn"), TASK, tmp_path).run([TASK.parse_raw(samples.tobytes())])
    assert TASK.measure(None, judged).audio_s == 1.0


def test_bad_audio_spares_its_neighbours(engine: Engine) -> None:
    infinite = TASK.parse_raw(struct.pack("<f", float("inf")) * 100, {"dtype": "float32"})
    good, bad, empty, broken = engine.run(
        [turn(noise(1)), infinite, TASK.parse_raw(b"\0", {"dtype": "float64"}), TASK.parse_raw(b"RIFFnothing")]
    )
    assert 0 < good.probability < 1
    for output in (bad, empty, broken):
        assert isinstance(output, BadInput)
        assert output.detail.startswith("'/audio' ")


def test_weights_without_a_part_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "classifier.6.bias"}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=r"classifier\.6\.bias"):
        Engine(spec("smart_turn"), TASK, tmp_path)


@pytest.mark.parametrize(("silence_s", "complete"), [(0.0, False), (0.3, False), (0.8, True), (3.0, True)])
def test_silence_alone_tells_of_an_end(tmp_path: Path, silence_s: float, complete: bool) -> None:
    silero = Silero(spec("silero_turn"), TASK, tmp_path)
    samples = np.concatenate([decode(vowels(1.0)), np.zeros(round(silence_s * RATE_HZ), np.float32)])
    (output,) = silero.run([turn(samples)])
    assert output.is_complete is complete
    assert output.probability == pytest.approx(min(1, silence_s), abs=0.15)


def test_where_nobody_spoke_nobody_goes_on(tmp_path: Path) -> None:
    quiet, bad = Silero(spec("silero_turn"), TASK, tmp_path).run([turn(np.zeros(RATE_HZ)), TASK.parse_raw(b"\0")])
    assert (quiet.is_complete, quiet.probability) == (True, 1.0)
    assert isinstance(bad, BadInput)
