"""Quantized weights answer as the library does with the same files, or are refused with what they lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from gateway.config import ConfigError
from tests import tiny, tiny_quantized, tiny_seers
from tests.engines.llm.peft_adapters import adapter
from tests.engines.llm.streams import load
from tests.engines.llm.token_streams import decoding, library_model, run, token_model
from tests.tiny_quantized import KINDS, Pair, declare

pytestmark = [
    pytest.mark.filterwarnings("ignore:MatMul8bitLt:UserWarning"),  # how bitsandbytes says that it rounds inputs
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
TOKENIZER = tiny.byte_tokenizer()
PROMPTS = [TOKENIZER.encode(text) for text in ("Hello", "A longer prompt than the others.")]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return KINDS[request.param](tmp_path_factory.mktemp(request.param))


def direct(files: Path, prompt: list[int], dtype: torch.dtype) -> list[int]:
    """What the library gives, greedily."""
    model = AutoModelForCausalLM.from_pretrained(files, dtype=dtype, device_map={"": "cpu"})
    output = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=20, do_sample=False)
    tokens: list[int] = output[0, len(prompt) :].tolist()
    return tokens


def test_the_answers_are_the_librarys(pair: Pair) -> None:
    model = token_model(pair.packed)
    for prompt in PROMPTS:
        (told,) = run(model, (prompt, decoding()))
        for files in filter(None, (pair.packed, pair.plain)):
            assert told.ids == direct(files, prompt, torch.float32), files.name


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_number_type_gets_the_numbers_that_are_packed(pair: Pair, dtype: str) -> None:
    model = token_model(pair.packed, dtype=dtype)
    (told,) = run(model, (PROMPTS[0], decoding(ignore_eos=True)))
    assert len(told.ids) == 20
    if pair.plain is not None:
        plain = AutoModelForCausalLM.from_pretrained(pair.plain, dtype=getattr(torch, dtype)).state_dict()
        loaded = library_model(model).state_dict()
        for name, weight in plain.items():
            assert loaded[name].dtype == weight.dtype, name
            assert torch.equal(loaded[name], weight), name


def test_what_is_packed_at_rest_is_whole_before_the_first_request(tmp_path: Path) -> None:
    model = token_model(tiny_quantized.mixed(tmp_path).packed)
    before = {name: weight.dtype for name, weight in library_model(model).named_parameters()}
    assert before["model.layers.0.self_attn.q_proj.weight"] == torch.float32
    run(model, (PROMPTS[0], decoding(1)))
    assert {name: weight.dtype for name, weight in library_model(model).named_parameters()} == before


@pytest.mark.parametrize("kind", ["fp8", "compressed-tensors", "bitsandbytes-4bit"])
def test_adapters_work_over_quantized_weights(kind: str, tmp_path: Path) -> None:
    files = KINDS[kind](tmp_path).packed
    width = json.loads((files / "config.json").read_text())["hidden_size"]
    folder = adapter(tiny.chat_model(tmp_path / "base", hidden_size=width), tmp_path / "adapter", 1)
    model = token_model(files, loras={"one": f"file:{folder}"})
    plain, adapted = run(model, (PROMPTS[1], decoding()), (PROMPTS[1], decoding(adapter="one")))
    assert plain.ids == direct(files, PROMPTS[1], torch.float32)
    assert adapted.ids != plain.ids
    assert run(model, (PROMPTS[1], decoding(adapter="one")))[0].ids == adapted.ids


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        ({"quant_method": "awq", "bits": 4}, "as awq, which cannot be read here: it needs gptqmodel: pip install gptq"),
        ({"quant_method": "gptq", "bits": 4}, "as gptq, which cannot be read here: it needs optimum>=1.24 and gptqm"),
        (
            {"quant_method": "fbgemm_fp8"},
            "as fbgemm_fp8, which cannot be read here: it needs a CUDA device of compute capability 9.0",
        ),
        (
            {"quant_method": "nvfp4"},
            "as nvfp4, which cannot be read here: transformers can apply but not read it; have",
        ),
        ({"quant_method": "eetq"}, "as eetq, which cannot be read here: its kernels would be fetched from a hub; have"),
        ({"quant_method": "modelopt"}, "as modelopt, which cannot be read here: transformers does not know it; have a"),
        ({"bits": 4}, "config.json has a quantization_config without a quant_method"),
        ({"quant_method": "mxfp4", "modules_to_not_convert": 3}, "as mxfp4, which cannot be read here: "),
    ],
)
def test_weights_that_cannot_be_read_say_what_is_missing(
    tmp_path: Path, quantization: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(declare(tiny.chat_model(tmp_path), quantization))
    assert caught.value.detail.startswith("row @local/chat: source: ")
    assert message in caught.value.detail
    assert "\n" not in caught.value.detail


def test_a_model_that_sees_is_refused_alike(tmp_path: Path) -> None:
    files = declare(tiny_seers.seer(tmp_path), {"quant_method": "awq", "bits": 4})
    with pytest.raises(ConfigError, match="row @local/chat: source: the weights are quantized as awq, which cannot be"):
        load(files)


def test_packed_numbers_of_which_nothing_is_said_are_not_taken_for_plain_ones(tmp_path: Path) -> None:
    files = tiny_quantized.fp8(tmp_path).packed
    config = json.loads((files / "config.json").read_text())
    del config["quantization_config"]
    (files / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"_proj.weight is not a plain number, and config.json does not say how"):
        load(files)


def test_weights_whose_scales_nobody_reads_are_refused(tmp_path: Path) -> None:
    files = tiny_quantized.fp8(tmp_path).packed
    held = load_file(files / "model.safetensors")
    renamed = {name.replace("_scale_inv", "_scale"): tensor for name, tensor in held.items()}
    tiny_quantized.rewrite(files, renamed)
    with pytest.raises(ConfigError, match=r"source: the weights do not fit the model: nothing reads .*weight_scale \("):
        load(files)


@pytest.mark.parametrize("part", ["model.layers.0.mlp.up_proj.weight", "model.norm.weight"])
def test_weights_that_lack_a_part_are_not_filled_up_with_random_numbers(tmp_path: Path, part: str) -> None:
    files = tiny.chat_model(tmp_path)
    tiny.behead(files, part)
    with pytest.raises(ConfigError, match=rf"the weights do not fit the model: {part} is missing \(1 in all\)"):
        load(files)
