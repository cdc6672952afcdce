"""An encoder of BERT's family as an OpenVINO graph over texts that are laid end to end; runs nothing.

Dense layers see each token once and no padding; only attention, a small part of the work, sees the texts as the rows of
a padded block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from openvino import Model, Shape, Tensor, Type
from openvino import opset13 as op
from torch.nn import Embedding, LayerNorm, Linear

from gateway.engines.bert import Bert, Layer

_GELU = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


def bert_graph(bert: Bert, dtype: str) -> Model:
    """The graph, with its matrices in `dtype` (bfloat16 or float32); its one result has shape (tokens, width).

    Inputs: `ids`, `types` (where the encoder has them) and `positions` of shape (tokens); `where` of shape (texts,
    longest) says which token stands there, any where none does; `back` of shape (tokens) says where in that block, row
    by row, each token stands; `mask` of shape (texts, 1, 1, longest) is 0 for tokens and minus infinity elsewhere.
    """
    return _Builder(dtype).graph(bert)


class _Builder:
    """Makes the operations."""

    def __init__(self, dtype: str) -> None:
        self._matrix = _half if dtype == "bfloat16" else _whole

    def graph(self, bert: Bert) -> Model:
        ids, positions, types, back = (_input(name, [-1]) for name in ("ids", "positions", "types", "back"))
        where, mask = _input("where", [-1, -1]), _input("mask", [-1, 1, 1, -1], Type.f32)
        inputs = [ids, positions, back, where, mask]
        states = op.add(self._embedded(bert.words, ids), self._embedded(bert.positions, positions))
        if bert.types is not None:
            inputs.append(types)
            states = op.add(states, self._embedded(bert.types, types))
        states = _normalised(states, bert.norm)
        for layer in bert.layers:
            attended = _rows(self._attention(states, layer, bert.heads, where, mask), back)
            states = _normalised(op.add(self._dense(attended, layer.attended), states), layer.attended_norm)
            inner = _activated(self._dense(states, layer.up), bert.activation)
            states = _normalised(op.add(self._dense(inner, layer.down), states), layer.norm)
        return Model([op.result(states)], inputs, "bert")

    def _attention(self, states: Any, layer: Layer, heads: int, where: Any, mask: Any) -> Any:
        """What each place of the padded block has attended to, shape (texts x longest, width)."""
        shape, heads_first = _integers(0, 0, heads, layer.query.out_features // heads), _integers(0, 2, 1, 3)
        query, key, value = (
            op.transpose(op.reshape(_rows(self._dense(states, linear), where), shape, special_zero=True), heads_first)
            for linear in (layer.query, layer.key, layer.value)
        )
        attended = op.transpose(op.scaled_dot_product_attention(query, key, value, mask), heads_first)
        return op.reshape(attended, _integers(-1, layer.value.out_features), special_zero=False)

    def _dense(self, states: Any, linear: Linear) -> Any:
        product = op.matmul(states, self._matrix(linear.weight), transpose_a=False, transpose_b=True)
        return op.add(product, _vector(linear.bias))

    def _embedded(self, table: Embedding, indices: Any) -> Any:
        return _rows(self._matrix(table.weight), indices)


def _input(name: str, shape: list[int], kind: Any = Type.i32) -> Any:
    parameter = op.parameter(shape, kind, name)
    parameter.output(0).set_names({name})
    return parameter


def _activated(states: Any, activation: str) -> Any:
    return op.relu(states) if activation == "relu" else op.gelu(states, _GELU[activation])


def _normalised(states: Any, norm: LayerNorm) -> Any:
    scaled = op.mvn(states, _integers(-1), normalize_variance=True, eps=norm.eps, eps_mode="inside_sqrt")
    return op.add(op.multiply(scaled, _vector(norm.weight)), _vector(norm.bias))


def _rows(table: Any, indices: Any) -> Any:
    return op.gather(table, indices, _integers(0))


def _integers(*values: int) -> Any:
    return op.constant(np.array(values, np.int64))


def _vector(tensor: torch.Tensor) -> Any:
    """For every row; copied, so as not to hold a whole file in memory."""
    return op.constant(tensor.detach().float()[None].numpy(), shared_memory=False)


def _whole(tensor: torch.Tensor) -> Any:
    """In float32, where the tensor is: OpenVINO keeps what it is given for as long as it runs."""
    return op.constant(tensor.detach().float().contiguous().numpy(), shared_memory=True)


def _half(tensor: torch.Tensor) -> Any:
    """In bfloat16, of which NumPy knows nothing but the bits."""
    bits = tensor.detach().bfloat16().contiguous().view(torch.int16).numpy()
    held = Tensor(Type.bf16, Shape(bits.shape))
    held.data.view(np.int16)[...] = bits
    return op.convert(op.constant(held, shared_memory=True), Type.f32)
