"""Reads where the groups of four-bit weights begin in a GGUF; knows no graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

FAMILY = "general.architecture"
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# The header field that says how many heads the rows of a module belong to.
HEADS = {"self_attn.q_proj": "head_count", "self_attn.k_proj": "head_count_kv"}


@dataclass(frozen=True, slots=True)
class Groups:
    """What the weights 0 to 15 of each group [rows, groups] stand for: `minimum` and so many times `scale` more."""

    scale: NDArray[np.float32]
    minimum: NDArray[np.float32]

    def by_halves(self, heads: int) -> Groups:
        """With the rows of each head in halves, as a llama computes them, and not in pairs, as its GGUF has them."""
        return Groups(_by_halves(self.scale, heads), _by_halves(self.minimum, heads))


class GroupMinima:
    """Of the products of a file, by the names of their modules in transformers."""

    def __init__(self, reader: gguf.GGUFReader) -> None:
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._fields = reader.fields

    def of(self, module: str, scales: NDArray[Any]) -> Groups | None:
        """The groups of a module whose weights [rows] were converted to ones with these scales [rows, groups].

        None where groups need no minimum (Q4_0, Q8_0, Q6_K), and where the file's scales are others.
        """
        tensor = self._tensor(module)
        groups = None if tensor is None else _groups(tensor)
        if groups is None:
            return None
        heads = self._heads(module)
        orders = [groups] if heads is None else [groups, groups.by_halves(heads)]
        return next((order for order in orders if _alike(order.scale, scales)), None)

    def _tensor(self, module: str) -> Any:
        if module == "lm_head":
            return self._tensors.get("output.weight") or self._tensors.get("token_embd.weight")
        _, _, layer, name = module.split(".", 3)
        return self._tensors.get(f"blk.{layer}.{NAMES[name]}.weight")

    def _heads(self, module: str) -> int | None:
        count = HEADS.get(".".join(module.split(".")[3:]))
        field = self._fields.get(f"{self._fields[FAMILY].contents()}.attention.{count}")
        return None if field is None else int(field.contents())


def _groups(tensor: Any) -> Groups | None:
    """The layout of blocks is that of `block_q4_1` and `block_q4_K` in ggml."""
    blocks = tensor.data.reshape(-1, gguf.GGML_QUANT_SIZES[tensor.tensor_type][1])
    rows = int(tensor.shape[1])
    halves = blocks[:, :4].copy().view(np.float16).astype(np.float32)
    if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_1:
        return Groups(halves[:, 0].reshape(rows, -1), halves[:, 1].reshape(rows, -1))
    if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_K:
        scales, minima = gguf.quants.Q4_K.get_scale_min(blocks[:, 4:16])
        return Groups((halves[:, :1] * scales).reshape(rows, -1), (-halves[:, 1:] * minima).reshape(rows, -1))
    return None


def _by_halves(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    return values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def _alike(own: NDArray[np.float32], converted: NDArray[Any]) -> bool:
    return own.shape == converted.shape and bool(np.allclose(own, converted.astype(np.float32), rtol=2e-3, atol=1e-6))
