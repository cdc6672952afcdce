"""Joins matrix products that read the same input into one, in an OpenVINO graph; knows no kind of model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from openvino import Model, opset13

from gateway.engines.llm.packed_products import PackedProduct, multiplied, packed_product, replace, stacked
from gateway.engines.llm.product_names import JOIN


def fuse(model: Model) -> int:
    """Replace products that share an input by one over their joined weights; how many such joints were made.

    Every output is the sum that it was before. A step of one token is short of work for its threads: it waits for
    them, and prepares its input, once for each product.
    """
    found: dict[tuple[object, ...], list[PackedProduct]] = defaultdict(list)
    for node in model.get_ordered_ops():
        product = packed_product(node)
        if product is not None:
            source = node.input_value(0)
            found[source.get_node().get_name(), source.get_index(), product.form].append(product)
    groups = [group for group in found.values() if len(group) > 1]
    for group in groups:
        _join(group)
    model.validate_nodes_and_infer_types()
    return len(groups)


def _join(group: Sequence[PackedProduct]) -> None:
    first = group[0].node
    weights, *zeros, scales = (stacked(parts) for parts in zip(*(product.parts for product in group), strict=True))
    product = multiplied(first.input_value(0), first, weights, zeros[0] if zeros else None, scales)
    product.set_friendly_name(JOIN.join(part.node.get_friendly_name() for part in group))
    rows = np.array([part.rows for part in group], dtype=np.int64)
    split = opset13.variadic_split(product, np.int64(-1), rows)
    for part, output in zip(group, split.outputs(), strict=True):
        replace(part.node.output(0), output)
