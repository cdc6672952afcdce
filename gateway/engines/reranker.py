"""Reranking by a cross-encoder, which reads query and context together; knows no other task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import RobertaForSequenceClassification, XLMRobertaForSequenceClassification

from gateway.config import ConfigError, Frozen, ModelSpec
from gateway.engines.encoding import usable_window
from gateway.engines.options import read_options
from gateway.engines.packing import PACKED, PASS_TOKENS, TokenIds, can_pack, hidden_states, pad, passes
from gateway.engines.pretrained import load_sentence_model
from gateway.engines.torch_engine import TorchEngine
from gateway.tasks import Task, Usage
from gateway.tasks.reranking import Ranking, RerankingInput, best_first

# Their heads read the first token's state alone, so texts laid end to end can be scored too.
FIRST_TOKEN_HEADS = (RobertaForSequenceClassification, XLMRobertaForSequenceClassification)
Types = Sequence[int]


class Engine(TorchEngine):
    """Scores as `CrossEncoder.predict` gives them through a sigmoid; the pairs of all inputs share passes."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        read_options(Frozen, spec)
        model: CrossEncoder = load_sentence_model(CrossEncoder, files, self.precision)
        self._model = _scorer(model)
        self._tokenizer = model.tokenizer
        self._window = usable_window(self._model.config, self._tokenizer, spec.context_window)
        self._budget = PASS_TOKENS[self._model.device.type]
        if isinstance(self._model, FIRST_TOKEN_HEADS) and can_pack(self._model.config, self._model.device):
            self._model.set_attn_implementation(PACKED)

    def run(self, inputs: Sequence[RerankingInput]) -> Sequence[Ranking]:
        """One ranking per input; of a pair beyond the window, the longer text loses its end first."""
        pairs = [(input.query, context.text) for input in inputs for context in input.contexts]
        rows, types = self._tokenize(pairs)
        scores = self._scores(rows, types).tolist()
        ends = list(itertools.accumulate(len(input.contexts) for input in inputs))
        return [
            Ranking(
                response=best_first(scores[start:end], input.top_k),
                usage=Usage(prompt_tokens=sum(map(len, rows[start:end]))),
            )
            for input, start, end in zip(inputs, [0, *ends], ends, strict=False)
        ]

    def _tokenize(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[TokenIds], list[Types] | None]:
        """Token ids of each pair, and which text each token is of if the model wants to know."""
        queries, texts = zip(*pairs, strict=True)
        encoded = self._tokenizer(
            list(queries), list(texts), truncation="longest_first", max_length=self._window, return_attention_mask=False
        )
        return encoded["input_ids"], encoded.get("token_type_ids")

    @torch.inference_mode()
    def _scores(self, rows: Sequence[TokenIds], types: Sequence[Types] | None) -> npt.NDArray[np.float32]:
        """A number from 0 to 1 for each row."""
        out = np.empty(len(rows), np.float32)
        for group in passes([len(row) for row in rows], self._budget):
            part = [rows[i] for i in group]
            if self._model.config._attn_implementation == PACKED:
                logits = self._packed_logits(part)
            else:
                logits = self._padded_logits(part, [types[i] for i in group] if types is not None else None)
            out[group] = logits[:, 0].float().sigmoid().cpu().numpy()
        return out

    def _padded_logits(self, rows: Sequence[TokenIds], types: Sequence[Types] | None) -> torch.Tensor:
        ids, mask = pad(rows, self._model.config.pad_token_id or 0, self._model.device)
        more = {} if types is None else {"token_type_ids": pad(types, 0, self._model.device)[0]}
        logits: torch.Tensor = self._model(input_ids=ids, attention_mask=mask.long(), **more).logits
        return logits

    def _packed_logits(self, rows: Sequence[TokenIds]) -> torch.Tensor:
        states = hidden_states(self._model.base_model, rows)
        firsts = list(itertools.accumulate((len(row) for row in rows[:-1]), initial=0))
        logits: torch.Tensor = self._model.classifier(states[firsts][:, None].to(self._model.dtype))
        return logits


def _scorer(model: CrossEncoder) -> Any:
    """The classifier inside; raises `ConfigError` for another arrangement or more than one score per pair."""
    match list(model.children()):
        case [Transformer() as transformer] if transformer.model.config.num_labels == 1:
            return transformer.model
        case _:
            raise ConfigError("config.json: a sequence classifier with one label is expected of a reranker")
