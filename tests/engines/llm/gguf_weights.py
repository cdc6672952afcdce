"""What a GGUF says the weights of a module are, in the order in which OpenVINO and transformers compute them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

IN_FILE = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensors_of(file: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}


def meant(tensors: Mapping[str, Any], module: str, *, heads: int, kv_heads: int) -> Any:
    """[outputs, inputs], without what packed them."""
    _, _, layer, name = module.split(".", 3)
    tensor = tensors[f"blk.{layer}.{IN_FILE[name]}.weight"]
    weights = gguf.dequantize(tensor.data, tensor.tensor_type)
    count = {"self_attn.q_proj": heads, "self_attn.k_proj": kv_heads}.get(name)
    if count is None:
        return weights
    # A GGUF of a llama has the rows of each head's queries and keys in another order.
    return weights.reshape(count, -1, 2, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)
