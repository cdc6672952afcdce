"""The names that products of converted files have, against the file's own names of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import Model, opset13

from gateway.engines.llm.conversion import converted
from gateway.engines.llm.product_names import Product, find_products, name_products
from tests import tiny_gguf
from tests.engines.llm.gguf_weights import IN_FILE, meant, tensors_of


def read(file: Path) -> Any:
    folder = converted(file)
    assert folder is not None
    return openvino.Core().read_model(folder / "openvino_model.xml")


@pytest.fixture(scope="module")
def products(smollm_file: Path) -> dict[str, Product]:
    return find_products(read(smollm_file))


@pytest.fixture(scope="module")
def tensors(smollm_file: Path) -> dict[str, Any]:
    return tensors_of(smollm_file)


def weights_of(product: Product) -> Any:
    """[outputs, inputs]."""
    node, first = product.given.get_node(), 0
    if node.get_type_name() == "VariadicSplit":
        first = sum(
            output.get_partial_shape()[-1].get_length() for output in node.outputs()[: product.given.get_index()]
        )
        node = node.input_value(0).get_node()
    model = Model([opset13.result(node.input_value(1))], [])
    return openvino.Core().compile_model(model, "CPU")([])[0][first : first + product.outputs]


@pytest.mark.parametrize("layer", [0, 29])
@pytest.mark.parametrize("module", IN_FILE)
def test_a_product_has_the_weights_of_the_module_it_is_named_after(
    products: dict[str, Product], tensors: dict[str, Any], layer: int, module: str
) -> None:
    product = products[f"model.layers.{layer}.{module}"]
    expected = meant(tensors, f"model.layers.{layer}.{module}", heads=9, kv_heads=3)
    assert (product.outputs, product.inputs) == expected.shape
    np.testing.assert_allclose(weights_of(product), expected, rtol=0, atol=np.abs(expected).max() / 100)


def test_the_names_that_exporters_give_are_found(tmp_path: Path) -> None:
    model = read(tiny_gguf.chat_gguf(tmp_path / "model.gguf"))
    (node,) = (node for node in model.get_ops() if node.get_friendly_name() == "model.layers.0.mlp.down_proj")
    node.set_friendly_name("__module.model.layers.7.mlp.down_proj/ov_ext::linear/MatMul")
    product = find_products(model)["model.layers.7.mlp.down_proj"]
    assert (product.inputs, product.outputs) == (tiny_gguf.INNER, tiny_gguf.HIDDEN)


def test_a_graph_of_another_make_keeps_its_names(caplog: pytest.LogCaptureFixture) -> None:
    source = opset13.parameter([-1, 8], np.float32)
    weights = opset13.constant(np.ones((8, 8), np.float32))
    gate = opset13.swish(opset13.matmul(source, weights, transpose_a=False, transpose_b=True))
    model = Model([gate], [source])
    names = [node.get_friendly_name() for node in model.get_ops()]
    assert name_products(model) == 0
    assert [node.get_friendly_name() for node in model.get_ops()] == names
    assert "it can have no adapters" in caplog.text
