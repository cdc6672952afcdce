"""Gives converted four-bit weights the minima that their groups have in the GGUF; knows no file.

The conversion stores a group's zero as a whole number, which moves all weights of the group by up to half a step: for
SmolLM2 135M (Q4_1) that raises the perplexity by a quarter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Model, Node, Output, Type, opset13

from gateway.engines.llm.group_minima import GroupMinima, Groups
from gateway.engines.llm.packed_products import (
    PackedProduct,
    halves,
    multiplied,
    of_halves,
    packed_product,
    replace,
)
from gateway.engines.llm.product_names import EXTENDED

# The largest weight in eight bits.
MOST = 127
# Of up to so many inputs a whole row shares a scale, of more inputs parts of it.
WHOLE, WIDE = 1024, 192
MIDDLE, LARGEST = 8, 15
# How far a group's minimum may be from where it should be, in the largest steps of its row.
TOLERANCE = 1 / 16


def make_exact(model: Model, minima: GroupMinima, *, doubled: bool) -> int:
    """Change the products whose groups have minima in the file; how many.

    If `doubled`, weights are stored in eight bits, of which many share a scale and none needs a zero: less is computed,
    but twice as much is read. Otherwise each product gets some more inputs, the sums of the groups of its input, and
    for them weights of four bits that say how far the group's minimum is from where it should be.
    """
    count, sums = 0, dict[tuple[str, int, int], Output]()
    for node in model.get_ordered_ops():
        product = packed_product(node)
        groups = None if product is None else _groups(product, minima)
        if product is None or product.zeros is None or groups is None:
            continue
        exact = _in_eight_bits(product, groups) if doubled else _extended(product, product.zeros, groups, sums)
        exact.set_friendly_name(node.get_friendly_name())
        replace(node.output(0), exact.output(0))
        count += 1
    model.validate_nodes_and_infer_types()
    return count


def _groups(product: PackedProduct, minima: GroupMinima) -> Groups | None:
    name = product.node.get_friendly_name()
    if not name.startswith("model.layers.") and name != "lm_head":
        return None
    if product.weights.get_element_type() != Type.u4:
        return None
    return minima.of(name, product.scales.data[..., 0])


def _in_eight_bits(product: PackedProduct, groups: Groups) -> Node:
    weights = groups.minimum[..., None] + groups.scale[..., None] * halves(product.weights)
    rows, inputs = weights.shape[0], weights.shape[1] * weights.shape[2]
    wide = weights.reshape(rows, -1, _width(inputs, weights.shape[2]))
    steps = (np.abs(wide).max(axis=-1, keepdims=True) / MOST).astype(np.float16)
    steps[steps == 0] = 1
    whole = np.clip(np.rint(wide / steps.astype(np.float32)), -MOST, MOST).astype(np.int8)
    constants = opset13.constant(whole), None, opset13.constant(steps)
    return multiplied(product.node.input_value(0), product.node, *constants)


def _width(inputs: int, least: int) -> int:
    """How many inputs of a row share a scale: all, or as many groups of the `least` as there may be in `WIDE`."""
    if inputs <= WHOLE:
        return inputs
    return max(width for width in range(least, max(WIDE, least) + 1, least) if inputs % width == 0)


def _extended(product: PackedProduct, zero: Node, groups: Groups, known: dict[tuple[str, int, int], Output]) -> Node:
    source, (_, count, width) = product.node.input_value(0), product.weights.shape
    zeros = halves(zero)
    missing = groups.minimum + groups.scale * zeros[..., 0]
    tolerance = TOLERANCE * groups.scale.max(axis=1, keepdims=True) + np.finfo(np.float16).tiny
    more, steps = _in_levels(missing, tolerance, int(width))
    key = (source.get_node().get_name(), source.get_index(), more.shape[1])
    if key not in known:
        known[key] = _with_sums(source, product, int(count), more.shape[1])
    middle = np.full((*more.shape[:2], 1), MIDDLE, np.uint8)
    return multiplied(
        known[key],
        product.node,
        of_halves(np.concatenate([halves(product.weights), more], axis=1)),
        of_halves(np.concatenate([zeros, middle], axis=1)),
        opset13.constant(np.concatenate([product.scales.data, steps], axis=1)),
    )


def _in_levels(missing: NDArray[Any], tolerance: NDArray[Any], width: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """`missing` [rows, groups] as four-bit weights in groups of `width`, level upon level until little is missing."""
    padded = np.zeros((len(missing), -(-missing.shape[1] // width) * width), np.float32)
    padded[:, : missing.shape[1]] = missing
    left = padded.reshape(len(missing), -1, width)
    numbers: list[NDArray[np.uint8]] = []
    steps: list[NDArray[Any]] = []
    while not numbers or (np.abs(left.reshape(padded.shape)[:, : missing.shape[1]]) > tolerance).any():
        step = (np.abs(left).max(axis=-1, keepdims=True) / (LARGEST - MIDDLE)).astype(np.float16)
        step = np.maximum(step, np.finfo(np.float16).tiny)
        whole = np.clip(np.rint(left / step) + MIDDLE, 0, LARGEST)
        left = left - (whole - MIDDLE) * step
        numbers.append(whole.astype(np.uint8))
        steps.append(step)
    return np.concatenate(numbers, axis=1), np.concatenate(steps, axis=1)


def _with_sums(source: Output, product: PackedProduct, count: int, groups: int) -> Output:
    """`source` [rows, inputs] and behind it the sums of its groups, once for each level of what is missing."""
    width = int(product.weights.shape[2])
    ones = np.zeros((groups * width, count, width), np.uint8)
    level = -(-count // width) * width
    for at in range(groups * width):
        if at % level < count:
            ones[at, at % level] = 1
    none = np.zeros((groups * width, count, 1), np.uint8)
    scale = opset13.constant(np.ones((groups * width, count, 1), np.float16))
    # A product like the others is taken in integers, of inputs that are rounded as theirs are.
    sums = multiplied(source, product.node, of_halves(ones), of_halves(none), scale)
    both = opset13.concat([source, sums.output(0)], -1)
    both.set_friendly_name(f"{EXTENDED}/{source.get_node().get_name()}")
    return both.output(0)
