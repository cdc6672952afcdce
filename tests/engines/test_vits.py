"""VITS says each sentence as the library does, one voice in one language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VitsConfig, VitsModel, VitsTokenizer

from gateway.config import ConfigError, ModelSpec
from gateway.engines.audio import decode
from gateway.engines.vits import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.text_to_speech import SpeechOutput, Utterance
from tests.engines.speaking import say

AURA, MELOTTS = TASKS.get("text-to-speech", "aura"), TASKS.get("text-to-speech", "melotts")
PAUSE = 2400


def spec(**options: Any) -> ModelSpec:
    return ModelSpec(name="@local/v", task=AURA.name, engine="vits", device="cpu", options=options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the real architecture, small, with random weights and two voices."""
    path = tmp_path_factory.mktemp("vits")
    (path / "vocab.json").write_text(
        json.dumps({letter: id for id, letter in enumerate("_abcdefghijklmnopqrstuvwxyz '")})
    )
    VitsTokenizer(str(path / "vocab.json"), pad_token="_", phonemize=False).save_pretrained(path)
    torch.manual_seed(0)
    config = VitsConfig(
        vocab_size=29,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2,
        posterior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        duration_predictor_flow_bins=4,
        depth_separable_num_layers=2,
        upsample_initial_channel=32,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        num_speakers=2,
        speaker_embedding_size=8,
    )
    VitsModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(spec(), AURA, folder)


@torch.inference_mode()
def library(folder: Path, sentence: str, speaker: int = 0) -> np.ndarray:
    model = VitsModel.from_pretrained(folder).eval()
    tokens = VitsTokenizer.from_pretrained(folder)(sentence, return_tensors="pt")
    torch.manual_seed(0)
    return model(**tokens, speaker_id=speaker).waveform[0].clamp(-1, 1).numpy()


def test_each_sentence_is_the_librarys_own(engine: Engine, folder: Path) -> None:
    first, second = engine.begin(Utterance(text="hello there. good bye"))
    assert np.array_equal(first[:-PAUSE], library(folder, "hello there."))
    assert np.array_equal(second[:-PAUSE], library(folder, "good bye"))
    assert not first[-PAUSE:].any()
    (again,) = engine.begin(Utterance(text="good bye"))
    assert np.array_equal(second, again)


def test_the_row_chooses_the_voice(engine: Engine, folder: Path) -> None:
    (sound,) = Engine(spec(speaker=1), AURA, folder).begin(Utterance(text="hello"))
    assert np.array_equal(sound[:-PAUSE], library(folder, "hello", speaker=1))
    assert not np.array_equal(sound, next(engine.begin(Utterance(text="hello"))))


def test_speech_is_encoded_as_asked(engine: Engine) -> None:
    outputs = say(
        engine, AURA, [AURA.parse({"text": "one. two"}), AURA.parse({"text": "one. two", "encoding": "flac"})]
    )
    lengths = []
    for output in outputs:
        assert isinstance(output, SpeechOutput)
        lengths.append(len(decode(output.audio)))
    assert lengths[0] == pytest.approx(lengths[1], abs=1600)


@pytest.mark.parametrize("text", ["你好", "...", "\n"])
def test_a_text_without_known_letters_is_a_pause(engine: Engine, text: str) -> None:
    (output,) = say(engine, AURA, [AURA.parse({"text": text})])
    assert isinstance(output, SpeechOutput)
    assert 0 < len(decode(output.audio)) < 16_000


def test_another_language_is_refused_and_spares_its_neighbour(engine: Engine) -> None:
    bad, good = say(engine, MELOTTS, [MELOTTS.parse({"prompt": "a", "lang": "fr"}), MELOTTS.parse({"prompt": "a"})])
    assert isinstance(bad, BadInput)
    assert bad.detail == "'/lang' must be 'en', the only one this model speaks"
    assert isinstance(good, SpeechOutput)


@pytest.mark.parametrize(
    ("options", "text"), [({"speaker": 2}, "options.speaker: there are 2"), ({"voice": 1}, "voice")]
)
def test_a_row_that_cannot_be_is_refused_by_field(folder: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Engine(spec(**options), AURA, folder)
