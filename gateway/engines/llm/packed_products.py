"""Products with weights as a converted GGUF keeps them: small integers in groups; knows no kind of model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from openvino import Node, Output, Shape, Tensor, Type, opset13


@dataclass(frozen=True, slots=True)
class PackedProduct:
    """Each of a row's `weights` [rows, groups, width] stands for itself less its zero, times its scale.

    `zeros` and `scales` are [rows, groups, 1]; without `zeros` nothing is taken off.
    """

    node: Node
    weights: Node
    zeros: Node | None
    scales: Node

    @property
    def rows(self) -> int:
        """How many outputs it has."""
        return int(self.weights.shape[0])

    @property
    def form(self) -> tuple[object, ...]:
        """Products of one form differ in their rows alone."""
        return tuple((str(part.get_element_type()), tuple(part.shape[1:])) for part in self.parts)

    @property
    def parts(self) -> list[Node]:
        """Its constants."""
        return [part for part in (self.weights, self.zeros, self.scales) if part is not None]


def packed_product(node: Node) -> PackedProduct | None:
    """The product that `node` is, if its weights are kept like that."""
    if node.get_type_name() != "MatMul" or node.get_attributes() != {"transpose_a": False, "transpose_b": True}:
        return None
    scaled = _above(node.input_value(1), "Convert", "Reshape", "Multiply")
    if scaled is None:
        return None
    shifted, scales = _above(scaled.input_value(0), "Subtract"), _above(scaled.input_value(1))
    weights = _converted(scaled.input_value(0) if shifted is None else shifted.input_value(0))
    zeros = None if shifted is None else _converted(shifted.input_value(1))
    if weights is None or not _constant(scales) or (shifted is not None and zeros is None):
        return None
    product = PackedProduct(node, weights, zeros, scales)
    return product if all(_stacks(part, product.rows) for part in product.parts) else None


def multiplied(source: Output, like: Node, weights: Node, zeros: Node | None, scales: Node) -> Node:
    """The product of `source` with these, in the number type of the product `like`."""
    number = scales.get_element_type()
    whole = opset13.convert(weights, number.to_string())
    if zeros is not None:
        whole = opset13.subtract(whole, opset13.convert(zeros, number.to_string()))
    rows = int(weights.shape[0])
    flat = opset13.reshape(opset13.multiply(whole, scales), np.array([rows, -1], dtype=np.int64), special_zero=False)
    matrix = opset13.convert(flat, like.get_output_element_type(0).to_string())
    return opset13.matmul(source, matrix, transpose_a=False, transpose_b=True)


def replace(output: Output, by: Output) -> None:
    """Have all that reads `output` read another."""
    for target in output.get_target_inputs():
        target.replace_source_output(by)


def stacked(constants: Sequence[Node]) -> Node:
    """One constant of the rows of all: their bytes follow each other."""
    rows = sum(constant.shape[0] for constant in constants)
    tensor = Tensor(constants[0].get_element_type(), Shape([rows, *constants[0].shape[1:]]))
    tensor.data.view(np.uint8).reshape(-1)[:] = np.concatenate([_bytes(constant) for constant in constants])
    return opset13.constant(tensor)


def halves(constant: Node) -> NDArray[np.uint8]:
    """The numbers of a constant of four bits each, the lower half of a byte first."""
    found = _bytes(constant)
    return np.stack([found & 15, found >> 4], axis=-1).reshape(list(constant.shape))


def of_halves(numbers: NDArray[np.uint8]) -> Node:
    """A constant of four bits for each of these numbers below 16."""
    tensor = Tensor(Type.u4, Shape(list(numbers.shape)))
    pairs = numbers.reshape(-1, 2)
    tensor.data.view(np.uint8).reshape(-1)[:] = pairs[:, 0] | pairs[:, 1] << 4
    return opset13.constant(tensor)


def _bytes(constant: Node) -> Any:
    return constant.data.view(np.uint8).reshape(-1)


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


def _converted(output: Output) -> Node | None:
    """The constant that `output` is in another number type."""
    above = _above(output, "Convert")
    constant = None if above is None else _above(above.input_value(0))
    return constant if _constant(constant) else None


def _constant(node: Node | None) -> TypeGuard[Node]:
    return node is not None and node.get_type_name() == "Constant"
