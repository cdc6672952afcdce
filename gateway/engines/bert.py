"""The parts of an encoder of BERT's family, whatever transformers calls them in each; computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.nn import Embedding, LayerNorm, Linear
from transformers import (
    BertModel,
    CamembertModel,
    DistilBertModel,
    PreTrainedModel,
    RobertaModel,
    XLMRobertaModel,
)

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")


@dataclass(frozen=True, slots=True)
class Layer:
    """Attention of width to width, then two dense layers, `up` and `down`; each adds to its input and is normalised."""

    query: Linear
    key: Linear
    value: Linear
    attended: Linear
    attended_norm: LayerNorm
    up: Linear
    down: Linear
    norm: LayerNorm


@dataclass(frozen=True, slots=True)
class Bert:
    """Embeddings that are summed and normalised, and the layers above them.

    `types` is None where texts of a pair are not told apart. Positions count from `first_position`.
    """

    words: Embedding
    positions: Embedding
    types: Embedding | None
    norm: LayerNorm
    layers: Sequence[Layer]
    heads: int
    activation: str
    first_position: int


def read(model: PreTrainedModel) -> Bert | None:
    """The parts of a bare encoder, or None if it is of another family or computes something else with them."""
    config: Any = model.config
    if type(model) not in _LAYERS or getattr(config, "is_decoder", False):
        return None
    activation = config.activation if isinstance(model, DistilBertModel) else config.hidden_act
    if activation not in ACTIVATIONS:
        return None
    embeddings: Any = model.embeddings
    place, layer = _LAYERS[type(model)]
    return Bert(
        embeddings.word_embeddings,
        embeddings.position_embeddings,
        getattr(embeddings, "token_type_embeddings", None),
        embeddings.LayerNorm,
        [layer(each) for each in getattr(model, place).layer],
        config.num_attention_heads,
        activation,
        first_position(config),
    )


def forget(model: PreTrainedModel) -> None:
    """Free the memory of an encoder's embeddings and layers, once they are somewhere else; it cannot run any more."""
    for name in ("embeddings", "encoder", "transformer"):
        if hasattr(model, name):
            setattr(model, name, None)


def own(model: PreTrainedModel) -> None:
    """Copy what is left of a model's weights, so that the memory of their file can go."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def first_position(config: Any) -> int:
    """The position of a text's first token; the RoBERTa family counts from behind the padding token's id."""
    return config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0


def _bert_layer(layer: Any) -> Layer:
    attention, output = layer.attention, layer.output
    return Layer(
        attention.self.query,
        attention.self.key,
        attention.self.value,
        attention.output.dense,
        attention.output.LayerNorm,
        layer.intermediate.dense,
        output.dense,
        output.LayerNorm,
    )


def _distilbert_layer(layer: Any) -> Layer:
    attention = layer.attention
    return Layer(
        attention.q_lin,
        attention.k_lin,
        attention.v_lin,
        attention.out_lin,
        layer.sa_layer_norm,
        layer.ffn.lin1,
        layer.ffn.lin2,
        layer.output_layer_norm,
    )


# Where the layers of each kind are, and how one is read.
_LAYERS: Mapping[type[PreTrainedModel], tuple[str, Callable[[Any], Layer]]] = {
    BertModel: ("encoder", _bert_layer),
    RobertaModel: ("encoder", _bert_layer),
    XLMRobertaModel: ("encoder", _bert_layer),
    CamembertModel: ("encoder", _bert_layer),
    DistilBertModel: ("transformer", _distilbert_layer),
}
