"""The last layer of an encoder for texts of different lengths, by the fastest way; knows no pooling and no head."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from gateway.engines import bert
from gateway.engines.compiled_bert import HINTS, CompiledBert
from gateway.engines.passes import TokenIds, pad
from gateway.engines.precision import Precision

Types = Sequence[int]


class HiddenStates(Protocol):
    """An encoder that gives each text what it would get alone."""

    @property
    def pads(self) -> bool:
        """Whether a pass costs as much as if all its texts were as long as its longest."""

    def __call__(self, rows: Sequence[TokenIds], types: Sequence[Types] | None = None) -> torch.Tensor:
        """The last layer for `rows`, end to end: float32 of shape (sum of lengths, width).

        `types` says of each token which text of a pair it is of.
        """


def padded(
    model: PreTrainedModel, rows: Sequence[TokenIds], types: Sequence[Types] | None = None
) -> dict[str, torch.Tensor]:
    """What a model of transformers is called with for `rows`, each tensor of shape (rows, longest)."""
    ids, mask = pad(rows, model.config.pad_token_id or 0, model.device)
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    return inputs if types is None else inputs | {"token_type_ids": pad(types, 0, model.device)[0]}


class Padded:
    """Any bare encoder of transformers, over rows that are made equally long."""

    pads = True

    def __init__(self, model: PreTrainedModel) -> None:
        self._model: Any = model

    def __call__(self, rows: Sequence[TokenIds], types: Sequence[Types] | None = None) -> torch.Tensor:
        """As `HiddenStates` says."""
        inputs = padded(self._model, rows, types)
        states: torch.Tensor = self._model(**inputs).last_hidden_state
        return states[inputs["attention_mask"].bool()].float()


def hidden_states(model: PreTrainedModel, precision: Precision) -> HiddenStates:
    """The way for a bare encoder: compiled if it can be, else transformers' own code."""
    return compiled(model, precision) or Padded(model)


def compiled(model: PreTrainedModel, precision: Precision) -> CompiledBert | None:
    """A bare encoder of BERT's family on OpenVINO, which gives up the model's own layers; None for any other.

    It spares padding, a fifth of the time in batches and a third of it for a text alone.
    """
    parts = bert.read(model) if _compiles(precision) else None
    if parts is None:
        return None
    states = CompiledBert(parts, precision.dtype)
    bert.forget(model)
    return states


def _compiles(precision: Precision) -> bool:
    """Whether OpenVINO computes there and in that number type; other processors than x86 are untried."""
    return precision.device == "cpu" and platform.machine() == "x86_64" and precision.dtype in HINTS
