"""Reranking by a cross-encoder, which reads query and context together; knows no other task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder
from sentence_transformers.sentence_transformer.modules import Transformer

from gateway.config import ConfigError, Frozen, ModelSpec
from gateway.engines.encoding import usable_window
from gateway.engines.hidden_states import Types
from gateway.engines.options import read_options
from gateway.engines.passes import TokenIds
from gateway.engines.pretrained import load_sentence_model
from gateway.engines.sequence_scores import SequenceScores
from gateway.engines.token_ids import opening, runs
from gateway.engines.torch_engine import TorchEngine
from gateway.tasks import Task, Usage
from gateway.tasks.reranking import Ranking, RerankingInput, best_first


class Engine(TorchEngine):
    """Scores as `CrossEncoder.predict` gives them through a sigmoid; the pairs of all inputs share passes."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        read_options(Frozen, spec)
        model: CrossEncoder = load_sentence_model(CrossEncoder, files, self.precision)
        scorer = _scorer(model)
        self._tokenizer = model.tokenizer
        self._window = usable_window(scorer.config, self._tokenizer, spec.context_window)
        self._scores = SequenceScores(scorer, self.precision)
        self.fill_passes(pads=self._scores.pads)

    def run(self, inputs: Sequence[RerankingInput]) -> Sequence[Ranking]:
        """One ranking per input; of a pair beyond the window, the longer text loses its end first.

        Of two texts that are beyond it themselves, each keeps half.
        """
        pairs = [(input.query, context.text) for input in inputs for context in input.contexts]
        rows, types = self._tokenize(pairs)
        scores = self._scores.logits(rows, types)[:, 0].sigmoid().tolist()
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
        opened: dict[str, str] = {}
        for text in itertools.chain.from_iterable(pairs):
            opened[text] = opened.get(text) or opening(self._tokenizer, text, self._window)
        rows: list[TokenIds] = []
        types: list[Types] = []
        for part in runs([len(opened[query]) + len(opened[text]) for query, text in pairs]):
            encoded = self._tokenizer(
                [opened[query] for query, _ in pairs[part]],
                [opened[text] for _, text in pairs[part]],
                truncation="longest_first",
                max_length=self._window,
                return_attention_mask=False,
            )
            rows += encoded["input_ids"]
            types += encoded.get("token_type_ids", ())
        return rows, types or None


def _scorer(model: CrossEncoder) -> Any:
    """The classifier inside; raises `ConfigError` for another arrangement or more than one score per pair."""
    match list(model.children()):
        case [Transformer() as transformer] if transformer.model.config.num_labels == 1:
            return transformer.model
        case _:
            raise ConfigError("config.json: a sequence classifier with one label is expected of a reranker")
