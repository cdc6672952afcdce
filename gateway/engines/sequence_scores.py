"""Logits of sequence classifiers for texts of different lengths; knows no task."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import (
    BertForSequenceClassification,
    CamembertForSequenceClassification,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
    XLMRobertaForSequenceClassification,
)

from gateway.engines import bert
from gateway.engines.hidden_states import Types, compiled, padded
from gateway.engines.passes import TokenIds, pass_tokens, passes
from gateway.engines.precision import Precision

# What a head makes of the state of each text's first token, shape (texts, width): it reads no other.
_HEADS: dict[type[PreTrainedModel], Callable[[Any, torch.Tensor], torch.Tensor]] = {
    BertForSequenceClassification: lambda model, first: model.classifier(model.bert.pooler(first[:, None])),
    DistilBertForSequenceClassification: lambda model, first: model.classifier(model.pre_classifier(first).relu()),
    CamembertForSequenceClassification: lambda model, first: model.classifier(first[:, None]),
    RobertaForSequenceClassification: lambda model, first: model.classifier(first[:, None]),
    XLMRobertaForSequenceClassification: lambda model, first: model.classifier(first[:, None]),
}


class SequenceScores:
    """A sequence classifier of transformers, which gives each text what it would get alone."""

    def __init__(self, model: Any, precision: Precision) -> None:
        self._model = model
        self._head = _HEADS.get(type(model))
        self._states = None if self._head is None else compiled(model.base_model, precision)
        self.pads = self._states is None
        if self._states is not None:
            bert.own(model)
        self._budget = pass_tokens(model.device, pads=self.pads)

    @torch.inference_mode()
    def logits(self, rows: Sequence[TokenIds], types: Sequence[Types] | None = None) -> torch.Tensor:
        """Shape (rows, labels), float32, on the CPU; `types` says of each token which text of a pair it is of."""
        out = torch.empty(len(rows), self._model.config.num_labels)
        for group in passes([len(row) for row in rows], self._budget):
            part = [rows[i] for i in group], None if types is None else [types[i] for i in group]
            out[group] = self._pass(*part).float().cpu()
        return out

    def _pass(self, rows: Sequence[TokenIds], types: Sequence[Types] | None) -> torch.Tensor:
        if self._head is None or self._states is None:
            return self._whole(rows, types)
        states = self._states(rows, types)
        firsts = list(itertools.accumulate((len(row) for row in rows[:-1]), initial=0))
        return self._head(self._model, states[firsts].to(self._model.dtype))

    def _whole(self, rows: Sequence[TokenIds], types: Sequence[Types] | None) -> torch.Tensor:
        """By the model's own code, head and all."""
        logits: torch.Tensor = self._model(**padded(self._model, rows, types)).logits
        return logits
