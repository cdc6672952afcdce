"""Writes texts for texts with a transformers encoder-decoder, in batches by length; knows no task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

from gateway.engines.encoding import usable_window
from gateway.engines.passes import TokenIds, pad, pass_tokens, passes
from gateway.engines.precision import Precision
from gateway.engines.pretrained import load_pretrained
from gateway.engines.token_ids import tokenize


@dataclass(frozen=True, slots=True)
class Written:
    """A text and how many tokens the model wrote for it."""

    text: str
    tokens: int


class FirstTokens(LogitsProcessor):
    """Makes the decoder begin each row with a token of its own; `forced_bos_token_id` knows one for all rows."""

    def __init__(self, tokens: Sequence[int], num_beams: int) -> None:
        self._tokens = torch.tensor(tokens).repeat_interleave(num_beams)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of shape (rows x beams, vocabulary)."""
        if input_ids.shape[-1] > 1:
            return scores
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(1, self._tokens.to(scores.device)[:, None], 0.0)


class Seq2Seq:
    """What `model.generate` writes with the folder's own generation settings, whatever shares the batch."""

    def __init__(self, files: Path, precision: Precision, window: int | None) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(files, local_files_only=True, trust_remote_code=False)
        self._model = load_pretrained(AutoModelForSeq2SeqLM, files, precision)
        self.settings = self._model.generation_config
        self.window = usable_window(self._model.config, self.tokenizer, window)
        self.positions: int = self._model.config.max_position_embeddings
        self._budget = pass_tokens(self._model.device)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's token ids with the special ones, cut to the window."""
        return tokenize(self.tokenizer, texts, self.window)

    def write(self, rows: Sequence[TokenIds], first: Sequence[int] | None = None, **settings: Any) -> list[Written]:
        """A text for each row of token ids, begun with `first[i]` if given; `settings` go to `generate`."""
        written: dict[int, Written] = {}
        for group in passes([len(row) for row in rows], self._budget):
            begin = None if first is None else [first[i] for i in group]
            written |= zip(group, self._pass([rows[i] for i in group], begin, settings), strict=True)
        return [written[index] for index in range(len(rows))]

    @torch.inference_mode()
    def _pass(self, rows: Sequence[TokenIds], first: Sequence[int] | None, settings: dict[str, Any]) -> list[Written]:
        padding = self._model.config.pad_token_id
        ids, mask = pad(rows, padding, self._model.device)
        begin = [] if first is None else [FirstTokens(first, self.settings.num_beams or 1)]
        out = self._model.generate(
            input_ids=ids, attention_mask=mask.long(), logits_processor=LogitsProcessorList(begin), **settings
        )
        # The token that starts every decoder is given, not written.
        tokens = (out[:, 1:] != padding).sum(1).tolist()
        texts = self.tokenizer.batch_decode(out[:, 1 if first is None else 2 :], skip_special_tokens=True)
        return [Written(text, count) for text, count in zip(texts, tokens, strict=True)]
