"""Joined matrix products, against the graph they were joined in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import Model, Node, Shape, Tensor, Type, opset13

from gateway.engines.llm.conversion import converted
from gateway.engines.llm.fusion import fuse

WIDTH, GROUPS = 64, 2
ROWS = (8, 4, 4)


def product(source: Node, rows: int, number: Type, seed: int, *, groups: int = GROUPS) -> Node:
    """`source` times random weights kept as a GGUF's are: small integers in groups, with zero points and scales."""
    chance = np.random.default_rng(seed)

    def constant(last: int) -> Node:
        tensor = Tensor(number, Shape([rows, groups, last]))
        packed = tensor.data.view(np.uint8).reshape(-1)
        packed[:] = chance.integers(0, 256, packed.size)
        return opset13.convert(opset13.constant(tensor), "f16")

    scales = opset13.constant(chance.standard_normal((rows, groups, 1)).astype(np.float16))
    whole = opset13.multiply(opset13.subtract(constant(WIDTH // groups), constant(1)), scales)
    flat = opset13.reshape(whole, np.array([rows, WIDTH]), special_zero=False)
    return opset13.matmul(source, opset13.convert(flat, "f32"), transpose_a=False, transpose_b=True)


def answers(model: Model, given: Any) -> list[Any]:
    # On a CPU that rounds activations, all sides round alike; without, sums differ by their order at most.
    exact = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "INFERENCE_PRECISION_HINT": "f32"}
    return list(openvino.Core().compile_model(model, "CPU", exact)(given).values())


def products(model: Model) -> int:
    return Counter(node.get_type_name() for node in model.get_ops())["MatMul"]


@pytest.mark.parametrize("number", [Type.u4, Type.u8])
def test_joined_products_give_what_each_gave(number: Type) -> None:
    source = opset13.parameter([-1, WIDTH], Type.f32)
    apart = [product(opset13.relu(source), 4, number, seed) for seed in (7, 8)]
    model = Model([product(source, rows, number, seed) for seed, rows in enumerate(ROWS)] + apart, [source])
    given = np.random.default_rng(9).standard_normal((3, WIDTH)).astype(np.float32)
    expected = answers(model, given)
    assert products(model) == len(ROWS) + len(apart)
    assert fuse(model) == 1
    assert products(model) == 1 + len(apart)
    for was, now in zip(expected, answers(model, given), strict=True):
        np.testing.assert_allclose(now, was, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("number", "groups"), [(Type.u8, GROUPS), (Type.u4, 2 * GROUPS)], ids=["other numbers", "other groups"]
)
def test_products_of_different_forms_stay_apart(number: Type, groups: int) -> None:
    source = opset13.parameter([-1, WIDTH], Type.f32)
    model = Model([product(source, 4, Type.u4, 1), product(source, 4, number, 2, groups=groups)], [source])
    assert fuse(model) == 0
    assert products(model) == 2


def test_a_converted_file_has_fewer_products_than_layers_have_weights(smollm_file: Path) -> None:
    folder = converted(smollm_file)
    assert folder is not None
    model = openvino.Core().read_model(folder / "openvino_model.xml")
    sides = [node.input_value(1).get_node() for node in model.get_ops() if node.get_type_name() == "MatMul"]
    above = [side.input_value(0).get_node().get_type_name() for side in sides if side.get_type_name() == "Convert"]
    # Of seven products a layer, query, key and value become one, and the two gates; besides, the vocabulary's.
    assert above.count("Reshape") == 30 * 4 + 1
