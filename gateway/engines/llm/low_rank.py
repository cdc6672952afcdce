"""Adds LoRA adapters to an OpenVINO graph, each row of a pass with its own; knows no file and no request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from openvino import Model, Node, Output, opset13

from gateway.engines.llm.adapter_files import AdapterMisfit, LowRank
from gateway.engines.llm.product_names import Product, find_products

# Of the graph: 1 where a row [rows, adapters] is computed with an adapter, else 0.
CHOSEN = "adapters"
# Its product is computed for some rows only.
VOCABULARY = "lm_head"


def add_adapters(model: Model, adapters: Mapping[str, Mapping[str, LowRank]]) -> None:
    """Have the graph take the input `CHOSEN`, whose columns are the adapters in their order.

    The matrices of all adapters of a module lie side by side: a row is multiplied with all, and what is not of its
    adapter is made zero in between. So its sums are taken in one order, whoever else is in the pass. Raises
    `AdapterMisfit`.
    """
    products = find_products(model)
    chosen = opset13.parameter([-1, len(adapters)], np.float32, name=CHOSEN)
    chosen.output(0).get_tensor().set_names({CHOSEN})
    masks: dict[tuple[int, ...], Node] = {}
    for module in dict.fromkeys(module for changes in adapters.values() for module in changes):
        changes = [changes.get(module) for changes in adapters.values()]
        product = _product(module, products, adapters)
        ranks = tuple(0 if change is None else len(change.down) for change in changes)
        if ranks not in masks:
            masks[ranks] = _mask(chosen, ranks, product.source)
        _add(product, masks[ranks], [change for change in changes if change is not None])
    model.add_parameters([chosen])
    model.validate_nodes_and_infer_types()


def choices(names: Sequence[str], runs: Sequence[tuple[str | None, int]]) -> NDArray[np.float32]:
    """What the graph is given for runs of so many rows each with the adapter of that name, or none."""
    chosen = np.array([[name == own for name in names] for own, _ in runs], np.float32)
    return np.repeat(chosen, [rows for _, rows in runs], axis=0)


def _product(module: str, products: Mapping[str, Product], adapters: Mapping[str, Mapping[str, LowRank]]) -> Product:
    """The module's, which every adapter's change fits."""
    product = products.get(module)
    for name in (name for name, changes in adapters.items() if module in changes):
        change, misfit = adapters[name][module], f"loras.{name}: does not fit the model: {module}"
        if product is None or module == VOCABULARY:
            raise AdapterMisfit(f"{misfit} is no product that can be changed on OpenVINO")
        if (change.down.shape[1], len(change.up)) != (product.inputs, product.outputs):
            raise AdapterMisfit(f"{misfit} takes {product.inputs} numbers and gives {product.outputs}")
    assert product is not None
    return product


def _mask(chosen: Node, ranks: Sequence[int], source: Output) -> Node:
    """A column for each of the joined ranks, in the number of dimensions that the rows have."""
    columns = np.repeat(np.arange(len(ranks)), ranks)
    mask = opset13.gather(chosen, opset13.constant(columns), opset13.constant(np.int64(1)))
    if len(source.get_partial_shape()) > 2:
        return opset13.unsqueeze(mask, opset13.constant(np.int64(1)))
    return mask


def _add(product: Product, mask: Node, changes: Sequence[LowRank]) -> None:
    down = opset13.constant(np.concatenate([change.down for change in changes]))
    up = opset13.constant(np.concatenate([change.up for change in changes], axis=1))
    readers = product.given.get_target_inputs()
    inner = opset13.multiply(opset13.matmul(product.source, down, transpose_a=False, transpose_b=True), mask)
    total = opset13.add(product.given, opset13.matmul(inner, up, transpose_a=False, transpose_b=True))
    for reader in readers:
        reader.replace_source_output(total.output(0))
