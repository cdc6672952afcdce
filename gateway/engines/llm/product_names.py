"""Names the matrix products of a converted GGUF by the modules they are; knows no file and no weights' values."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from openvino import Model, Node, Output

# How a graph names one product that stands for several.
JOIN = "+"
# How it names an input that has more behind it than the product's own.
EXTENDED = "extended"
READ = ("q_proj", "k_proj", "v_proj")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Product:
    """What a product reads, [rows, inputs], and what it gives, [rows, outputs]."""

    source: Output
    given: Output
    inputs: int
    outputs: int


def name_products(model: Model) -> int:
    """Give each product the name that its module has in transformers; how many have one now.

    The conversion names nothing, but every layer of the models it knows (llama, qwen2, qwen3) has one attention and
    one Swish, in whose surroundings each product has its place.
    """
    nodes = model.get_ordered_ops()
    attentions = [node for node in nodes if node.get_type_name() == "ScaledDotProductAttention"]
    gates = [node for node in nodes if node.get_type_name() == "Swish"]
    names: dict[str, Node] = {}
    for layer, attention in enumerate(attentions):
        names |= {f"model.layers.{layer}.self_attn.{name}": node for name, node in _of_attention(attention)}
    for layer, gate in enumerate(gates):
        names |= {f"model.layers.{layer}.mlp.{name}": node for name, node in _of_gate(gate)}
    for name, head in _named("lm_head", _above(model.get_results()[0])):
        names[name] = head
    if len(attentions) != len(gates) or len({node.get_name() for node in names.values()}) != 7 * len(gates) + 1:
        logger.warning("the products of this graph are not laid out as expected, so it can have no adapters")
        return 0
    for name, node in names.items():
        node.set_friendly_name(name)
    return len(names)


def find_products(model: Model) -> dict[str, Product]:
    """The products with weights by the names of their modules.

    Names are those of `name_products`, or those that exporters of PyTorch's modules give:
    `__module.model.layers.0.self_attn.q_proj/ov_ext::linear/MatMul`.
    """
    found: dict[str, Product] = {}
    for node in filter(_is_product, model.get_ordered_ops()):
        names = node.get_friendly_name().split("/")[0].removeprefix("__module.").split(JOIN)
        source, inputs = _source(node)
        for name, given in zip(names, _given(node, len(names)), strict=True):
            found[name] = Product(source, given, inputs, given.get_partial_shape()[-1].get_length())
    return found


def _is_product(node: Node) -> bool:
    """Whether it is a product with weights."""
    if node.get_type_name() != "MatMul" or len(node.input_value(1).get_partial_shape()) != 2:
        return False
    weights = node.input_value(1).get_node()
    while weights.get_type_name() in ("Convert", "Reshape", "Multiply", "Subtract"):
        weights = weights.input_value(0).get_node()
    return bool(weights.get_type_name() == "Constant")


def _source(node: Node) -> tuple[Output, int]:
    """What the product reads, without what it was extended by, and how many numbers that are."""
    source, inputs = node.input_value(0), node.input_value(1).get_shape()
    count = int(inputs[1 if node.get_attributes()["transpose_b"] else 0])
    behind = source.get_node()
    if behind.get_friendly_name().split("/")[0] != EXTENDED:
        return source, count
    return behind.input_value(0), count - behind.input_value(1).get_partial_shape()[-1].get_length()


def _given(node: Node, parts: int) -> list[Output]:
    if parts == 1:
        return [node.output(0)]
    (split,) = (target.get_node() for target in node.output(0).get_target_inputs())
    return list(split.outputs())


def _of_attention(attention: Node) -> Iterator[tuple[str, Node]]:
    for port, name in enumerate(READ):
        yield from _named(name, _above(attention.input_value(port).get_node()))
    yield from _named("o_proj", _below(attention))


def _of_gate(gate: Node) -> Iterator[tuple[str, Node]]:
    yield from _named("gate_proj", _above(gate.input_value(0).get_node()))
    for times in _readers(gate):
        for value in times.input_values():
            if value.get_node() != gate:
                yield from _named("up_proj", _above(value.get_node()))
        yield from _named("down_proj", _below(times))


def _named(name: str, node: Node | None) -> Iterable[tuple[str, Node]]:
    return [] if node is None else [(name, node)]


def _above(node: Node) -> Node | None:
    """The nearest product that `node` is made of, itself if it is one."""
    return _nearest([node], lambda node: [value.get_node() for value in node.input_values()])


def _below(node: Node) -> Node | None:
    """The nearest product that reads what `node` gives."""
    return _nearest(_readers(node), _readers)


def _nearest(nodes: Iterable[Node], step: Callable[[Node], Iterable[Node]]) -> Node | None:
    """The first product on the way that `step` goes from `nodes`, breadth first."""
    waiting, seen = deque(nodes), set[str]()
    while waiting:
        node = waiting.popleft()
        if _is_product(node):
            return node
        if node.get_name() not in seen:
            seen.add(node.get_name())
            waiting.extend(step(node))
    return None


def _readers(node: Node) -> list[Node]:
    return [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
