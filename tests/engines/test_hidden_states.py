"""An encoder's last layer is what transformers computes for each text alone, whichever way it is computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

from gateway.engines.compiled_bert import CompiledBert
from gateway.engines.hidden_states import Padded, hidden_states
from gateway.engines.precision import Precision

FLOAT32, BFLOAT16 = Precision("cpu", "float32"), Precision("cpu", "bfloat16")
NAMES = {"distilbert": {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 48}}
LENGTHS = (1, 9, 3, 40, 9, 2)


def model(kind: str, **more: Any) -> PreTrainedModel:
    """A tiny encoder whose biases and norms differ from zero and one, so that leaving one out shows."""
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 48}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=64, pad_token_id=1, **NAMES.get(kind, sizes), **more)
    built = AutoModel.from_config(config).eval()
    for parameter in built.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=0.5)
    return built


def rows(lengths: tuple[int, ...] = LENGTHS, words: int = 62) -> list[list[int]]:
    choose = torch.Generator().manual_seed(1)
    return [torch.randint(2, 2 + words, (length,), generator=choose).tolist() for length in lengths]


@torch.inference_mode()
def alone(encoder: Any, texts: list[list[int]], **more: Any) -> torch.Tensor:
    """What transformers gives for each text by itself, end to end."""
    return torch.cat([encoder(torch.tensor([text]), **more).last_hidden_state[0] for text in texts]).float()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        *((kind, {}) for kind in ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")),
        ("bert", {"hidden_act": "gelu_new"}),
        ("bert", {"hidden_act": "gelu_pytorch_tanh"}),
        ("roberta", {"hidden_act": "relu", "layer_norm_eps": 0.1}),
        ("distilbert", {"activation": "relu"}),
    ],
)
def test_berts_family_is_compiled_and_computes_the_same(kind: str, more: dict[str, Any]) -> None:
    encoder, texts = model(kind, **more), rows()
    expected = alone(encoder, texts)
    states = hidden_states(encoder, FLOAT32)
    assert isinstance(states, CompiledBert)
    torch.testing.assert_close(states(texts), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states(texts[:1]), expected[:1], atol=1e-5, rtol=1e-5)


def test_the_second_text_of_a_pair_is_told_from_the_first() -> None:
    encoder, texts = model("bert"), rows((6, 6, 9))
    types = [[0] * (len(text) // 2) + [1] * (len(text) - len(text) // 2) for text in texts]
    with torch.inference_mode():
        pairs = zip(texts, types, strict=True)
        each = [encoder(torch.tensor([ids]), token_type_ids=torch.tensor([kinds])) for ids, kinds in pairs]
    expected, untold = torch.cat([one.last_hidden_state[0] for one in each]), alone(encoder, texts)
    states = hidden_states(encoder, FLOAT32)
    torch.testing.assert_close(states(texts, types), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states(texts), untold, atol=1e-5, rtol=1e-5)


def test_bfloat16_stays_near_and_is_not_float32() -> None:
    encoder, texts = model("bert"), rows()
    expected = alone(encoder, texts)
    states = hidden_states(encoder, BFLOAT16)(texts)
    torch.testing.assert_close(states, expected, atol=0.1, rtol=0.1)
    if torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"):
        assert (states - expected).abs().max() > 1e-4


def test_an_answer_outlives_the_next_pass() -> None:
    states, texts = hidden_states(model("bert"), FLOAT32), rows()
    first = states(texts)
    kept = first.clone()
    states([list(reversed(text)) for text in texts])
    torch.testing.assert_close(first, kept)


@pytest.mark.parametrize(
    ("kind", "more", "precision"),
    [
        ("electra", {}, FLOAT32),
        ("bert", {"hidden_act": "silu"}, FLOAT32),
        ("bert", {"is_decoder": True}, FLOAT32),
        ("bert", {}, Precision("cpu", "float16")),
    ],
)
def test_other_encoders_run_as_transformers_has_them(kind: str, more: dict[str, Any], precision: Precision) -> None:
    encoder, texts = model(kind, **more).to(precision.torch_dtype), rows()
    expected = alone(encoder, texts, **({"use_cache": False} if more.get("is_decoder") else {}))
    encoder.config.use_cache = False
    states = hidden_states(encoder, precision)
    assert isinstance(states, Padded)
    torch.testing.assert_close(states(texts), expected, atol=1e-2 if precision != FLOAT32 else 1e-5, rtol=1e-2)


def test_a_compiled_encoder_gives_its_layers_up() -> None:
    encoder = model("bert")
    before = sum(parameter.numel() for parameter in encoder.parameters())
    hidden_states(encoder, FLOAT32)
    assert sum(parameter.numel() for parameter in encoder.parameters()) < before / 10
