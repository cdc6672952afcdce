"""Makes small quantized chat models, each beside the plain model whose numbers are exactly those it packs, offline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    apply_quantization_config,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from tests import tiny

Tensors = dict[str, torch.Tensor]
FP8_BLOCK, MXFP4_BLOCK = 16, 32
# The sixteen numbers of four bits in the microscaling formats of the Open Compute Project (E2M1).
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


@dataclass(frozen=True)
class Pair:
    """The folder of a quantized model, and that of the same numbers unpacked; None where unpacking is not exact."""

    packed: Path
    plain: Path | None


def declare(files: Path, quantization: dict[str, Any]) -> Path:
    """Have the config.json in `files` say that its weights are quantized so."""
    config = json.loads((files / "config.json").read_text())
    (files / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    return files


def rewrite(files: Path, tensors: Tensors) -> None:
    """Put these weights in the place of the folder's."""
    save_file({name: one.contiguous() for name, one in tensors.items()}, files / "model.safetensors", {"format": "pt"})


def fp8(folder: Path, kind: str = "llama", **more: Any) -> Pair:
    """A model in FP8 with a scale for each block, as DeepSeek and Qwen publish their weights."""
    packed, plain = (tiny.chat_model(folder / name, kind, **more) for name in ("packed", "plain"))
    weights = load_file(plain / "model.safetensors")
    held = dict(weights)
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        rows, columns = (size // FP8_BLOCK for size in weights[name].shape)
        scales = torch.randint(-9, -6, (rows, columns)).float().exp2()
        spread = scales.repeat_interleave(FP8_BLOCK, 0).repeat_interleave(FP8_BLOCK, 1)
        held[name] = (weights[name] / spread).to(torch.float8_e4m3fn)
        held[f"{name}_scale_inv"] = scales
        weights[name] = held[name].float() * spread
    rewrite(packed, held)
    rewrite(plain, weights)
    how = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [FP8_BLOCK, FP8_BLOCK]}
    return Pair(declare(packed, how), plain)


def fp8_experts(folder: Path) -> Pair:
    """Qwen's mixture of experts in FP8."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 8}
    return fp8(folder, "qwen3_moe", **experts)


def mxfp4(folder: Path) -> Pair:
    """gpt-oss with experts in MXFP4."""
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 8}
    packed = tiny.chat_model(folder / "packed", "gpt_oss", **experts)
    plain = tiny.chat_model(folder / "plain", "gpt_oss", **experts)
    weights = load_file(plain / "model.safetensors")
    held = dict(weights)
    for name in [name for name in weights if name.endswith("_proj")]:
        expert, inside, outside = weights[name].shape  # the format has rows of what one output takes
        shape = (expert, outside, inside // MXFP4_BLOCK)
        blocks = torch.randint(0, 256, (*shape, MXFP4_BLOCK // 2), dtype=torch.uint8)
        exponents = torch.randint(-4, -1, shape)
        del held[name]
        held |= {f"{name}_blocks": blocks, f"{name}_scales": (exponents + 127).to(torch.uint8)}
        numbers = torch.stack([E2M1[(blocks & 15).long()], E2M1[(blocks >> 4).long()]], dim=-1).flatten(-2)
        rows = (numbers * exponents.float().exp2().unsqueeze(-1)).flatten(-2)
        weights[name] = rows.transpose(1, 2).contiguous()
    rewrite(packed, held)
    rewrite(plain, weights)
    return Pair(declare(packed, {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}), plain)


def compressed(folder: Path, **groups: dict[str, Any]) -> Pair:
    """Llama written by compressed-tensors; each group has the `targets` and the settings of their `weights`."""
    model = AutoModelForCausalLM.from_pretrained(tiny.chat_model(folder / "source"), dtype=torch.float32)
    schemes = {
        name: QuantizationScheme(targets=group["targets"], weights=QuantizationArgs(symmetric=True, **group["weights"]))
        for name, group in groups.items()
    }
    apply_quantization_config(model, QuantizationConfig(config_groups=schemes, ignore=["lm_head"]))
    for layer in model.modules():
        if (scheme := getattr(layer, "quantization_scheme", None)) is not None:
            rows = layer.weight.detach().reshape(*layer.weight_scale.shape, -1)
            largest = rows.abs().amax(-1) / (2 ** (scheme.weights.num_bits - 1) - 1)
            layer.weight_scale.data = largest.log2().ceil().exp2()  # which no type rounds
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    packed = _save(model, folder / "packed")
    compressor.update_config(str(packed))
    compressor.decompress_model(model)
    unpacked = {name: weight for name, weight in model.state_dict().items() if not name.endswith("_scale")}
    rewrite(folder / "source", unpacked)
    return Pair(packed, folder / "source")


FOUR_BITS = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16}
EIGHT_BITS = {"num_bits": 8, "type": "int", "strategy": "channel"}


def mixed(folder: Path) -> Pair:
    """Attention in four bits and feed-forward layers in eight."""
    attention = {"targets": ["re:.*self_attn.*"], "weights": FOUR_BITS}
    return compressed(folder, attention=attention, rest={"targets": ["re:.*mlp.*"], "weights": EIGHT_BITS})


def four_bits(folder: Path) -> Pair:
    """Every layer in four bits."""
    return compressed(folder, every={"targets": ["Linear"], "weights": FOUR_BITS})


def nf4(folder: Path) -> Pair:
    """Llama in the four bits of bitsandbytes, which multiplies them as they are."""
    return _bits_and_bytes(folder, BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"))


def llm_int8(folder: Path) -> Pair:
    """Llama in the eight bits of bitsandbytes."""
    return _bits_and_bytes(folder, BitsAndBytesConfig(load_in_8bit=True))


def _bits_and_bytes(folder: Path, how: BitsAndBytesConfig) -> Pair:
    source = tiny.chat_model(folder / "source", hidden_size=64)  # the CPU takes rows of whole blocks
    model = AutoModelForCausalLM.from_pretrained(
        source, quantization_config=how, device_map={"": "cpu"}, dtype=torch.float32
    )
    return Pair(_save(model, folder / "packed"), None)


def _save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny.byte_tokenizer().save_pretrained(folder)
    return folder


KINDS = {
    "fp8": fp8,
    "fp8-experts": fp8_experts,
    "mxfp4": mxfp4,
    "compressed-tensors": four_bits,
    "compressed-tensors-mixed": mixed,
    "bitsandbytes-4bit": nf4,
    "bitsandbytes-8bit": llm_int8,
}
