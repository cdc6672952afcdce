"""Joins matrix products that read the same input into one, in an OpenVINO graph; knows no kind of model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from openvino import Model, Node, Output, Shape, Tensor, opset13

from gateway.engines.llm.product_names import JOIN


@dataclass(frozen=True, slots=True)
class _Product:
    """A product with weights stored as small integers in groups along their rows, each with a scale and zero point."""

    node: Node
    weights: Node
    zeros: Node
    scales: Node

    @property
    def rows(self) -> int:
        """How many outputs it has."""
        return int(self.weights.shape[0])

    @property
    def form(self) -> tuple[object, ...]:
        """Products of one form differ in their rows alone."""
        constants = (self.weights, self.zeros, self.scales)
        return tuple((str(c.get_element_type()), tuple(c.shape[1:])) for c in constants)


def fuse(model: Model) -> int:
    """Replace products that share an input by one over their joined weights; how many such joints were made.

    Every output is the sum that it was before. A step of one token is short of work for its threads: it waits for
    them, and prepares its input, once for each product.
    """
    found: dict[tuple[object, ...], list[_Product]] = defaultdict(list)
    for node in model.get_ordered_ops():
        product = _product(node)
        if product is not None:
            source = node.input_value(0)
            found[source.get_node().get_name(), source.get_index(), product.form].append(product)
    groups = [group for group in found.values() if len(group) > 1]
    for group in groups:
        _join(group)
    model.validate_nodes_and_infer_types()
    return len(groups)


def _product(node: Node) -> _Product | None:
    """The product that `node` is, if its weights are kept as the conversion of a GGUF keeps them."""
    if node.get_type_name() != "MatMul" or node.get_attributes() != {"transpose_a": False, "transpose_b": True}:
        return None
    scaled = _above(node.input_value(1), "Convert", "Reshape", "Multiply")
    if scaled is None:
        return None
    shifted, scales = _above(scaled.input_value(0), "Subtract"), _above(scaled.input_value(1))
    if shifted is None or not _constant(scales):
        return None
    weights = _above(shifted.input_value(0), "Convert")
    zeros = _above(shifted.input_value(1), "Convert")
    weights = weights and _above(weights.input_value(0))
    zeros = zeros and _above(zeros.input_value(0))
    if not _constant(weights) or not _constant(zeros):
        return None
    product = _Product(node, weights, zeros, scales)
    return product if all(_stacks(part, product.rows) for part in (weights, zeros, scales)) else None


def _stacks(constant: Node, rows: int) -> bool:
    """Whether it has that many rows, which fill whole bytes."""
    elements = math.prod(constant.shape)
    return bool(constant.shape[0] == rows and elements * constant.get_element_type().bitwidth % 8 == 0)


def _above(output: Output, *types: str) -> Node | None:
    """The node behind `output`, through nodes of these types, of which it is the last; None if they are others."""
    node = output.get_node()
    for at, type in enumerate(types):
        if node.get_type_name() != type:
            return None
        if at + 1 < len(types):
            node = node.input_value(0).get_node()
    return node


def _constant(node: Node | None) -> TypeGuard[Node]:
    return node is not None and node.get_type_name() == "Constant"


def _join(group: Sequence[_Product]) -> None:
    first = group[0].node
    weights, zeros, scales = (
        _stacked([getattr(product, part) for product in group]) for part in ("weights", "zeros", "scales")
    )
    number = scales.get_element_type()
    whole = opset13.subtract(opset13.convert(weights, number.to_string()), opset13.convert(zeros, number.to_string()))
    rows = sum(product.rows for product in group)
    flat = opset13.reshape(opset13.multiply(whole, scales), np.array([rows, -1], dtype=np.int64), special_zero=False)
    matrix = opset13.convert(flat, first.get_output_element_type(0).to_string())
    product = opset13.matmul(first.input_value(0), matrix, transpose_a=False, transpose_b=True)
    product.set_friendly_name(JOIN.join(part.node.get_friendly_name() for part in group))
    parts = opset13.variadic_split(product, np.int64(-1), np.array([part.rows for part in group], dtype=np.int64))
    for part, output in zip(group, parts.outputs(), strict=True):
        for target in part.node.output(0).get_target_inputs():
            target.replace_source_output(output)


def _stacked(constants: Sequence[Node]) -> Node:
    """One constant of the rows of all: their bytes follow each other."""
    rows = sum(constant.shape[0] for constant in constants)
    tensor = Tensor(constants[0].get_element_type(), Shape([rows, *constants[0].shape[1:]]))
    tensor.data.view(np.uint8).reshape(-1)[:] = np.concatenate([_bytes(c) for c in constants])
    return opset13.constant(tensor)


def _bytes(constant: Node) -> Any:
    return constant.data.view(np.uint8).reshape(-1)
