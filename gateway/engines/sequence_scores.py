"""Logits of sequence classifiers for texts of different lengths, packed where the model allows; knows no task."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import (
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
    XLMRobertaForSequenceClassification,
)

from gateway.engines.packing import PACKED, TokenIds, can_pack, hidden_states, pad, pass_tokens, passes

Types = Sequence[int]
# What a head makes of the state of each text's first token, shape (texts, width): it reads no other.
_HEADS: dict[type[PreTrainedModel], Callable[[Any, torch.Tensor], torch.Tensor]] = {
    BertForSequenceClassification: lambda model, first: model.classifier(model.bert.pooler(first[:, None])),
    DistilBertForSequenceClassification: lambda model, first: model.classifier(model.pre_classifier(first).relu()),
    RobertaForSequenceClassification: lambda model, first: model.classifier(first[:, None]),
    XLMRobertaForSequenceClassification: lambda model, first: model.classifier(first[:, None]),
}


class SequenceScores:
    """A sequence classifier of transformers, which gives each text what it would get alone."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._head = _HEADS.get(type(model)) if can_pack(model.config, model.device) else None
        if self._head is not None:
            model.set_attn_implementation(PACKED)
        self.pads = self._head is None
        self._budget = pass_tokens(model.device, pads=self.pads)

    @torch.inference_mode()
    def logits(self, rows: Sequence[TokenIds], types: Sequence[Types] | None = None) -> torch.Tensor:
        """Shape (rows, labels), float32, on the CPU; `types` says of each token which text of a pair it is of."""
        out = torch.empty(len(rows), self._model.config.num_labels)
        for group in passes([len(row) for row in rows], self._budget):
            part = [rows[i] for i in group], None if types is None else [types[i] for i in group]
            out[group] = (self._padded(*part) if self._head is None else self._packed(*part)).float().cpu()
        return out

    def _padded(self, rows: Sequence[TokenIds], types: Sequence[Types] | None) -> torch.Tensor:
        ids, mask = pad(rows, self._model.config.pad_token_id or 0, self._model.device)
        more = {} if types is None else {"token_type_ids": pad(types, 0, self._model.device)[0]}
        logits: torch.Tensor = self._model(input_ids=ids, attention_mask=mask.long(), **more).logits
        return logits

    def _packed(self, rows: Sequence[TokenIds], types: Sequence[Types] | None) -> torch.Tensor:
        assert self._head is not None
        states = hidden_states(self._model.base_model, rows, types)
        firsts = list(itertools.accumulate((len(row) for row in rows[:-1]), initial=0))
        return self._head(self._model, states[firsts].to(self._model.dtype))
