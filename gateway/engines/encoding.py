"""Turns texts into token ids and sentence vectors with a sentence-transformers folder; knows no task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import PreTrainedTokenizerBase

from gateway.config import ConfigError
from gateway.engines.bert import first_position
from gateway.engines.hidden_states import hidden_states
from gateway.engines.passes import TokenIds, pass_tokens, passes
from gateway.engines.precision import Precision
from gateway.engines.pretrained import load_sentence_model
from gateway.engines.token_ids import opening, tokenize

How = Literal["mean", "cls", "lasttoken"]
HOW: tuple[How, ...] = get_args(How)
Vectors = npt.NDArray[np.float32]


def usable_window(config: Any, tokenizer: PreTrainedTokenizerBase, wanted: int | None) -> int:
    """Tokens of one text that count: what the row wants, the tokenizer says and the positions allow, the least."""
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    positions -= first_position(config)
    return min(wanted or positions, positions, tokenizer.model_max_length)


class Encoder:
    """One vector per text, the same as `SentenceTransformer.encode` gives whatever the batch around the text.

    `pooling` is what the folder says, for callers that leave the choice to it; what its modules.json puts after
    pooling is applied, except that `normalize` overrules whether vectors get length 1. Prompts are the caller's to
    put in front: `prompt` tells the folder's.
    """

    def __init__(self, files: Path, precision: Precision, window: int | None = None, normalize: bool | None = None):
        model: SentenceTransformer = load_sentence_model(SentenceTransformer, files, precision)
        encoder, self.pooling, self._after = _parts(model, normalize)
        encoder.config.use_cache = False
        self._tokenizer = model.tokenizer
        self._prompts = {role: prompt or "" for role, prompt in model.prompts.items()}
        self._default_prompt = self._prompts.get(model.default_prompt_name or "", "")
        self.dimensions: int = model.get_embedding_dimension() or encoder.config.hidden_size
        self.window = usable_window(encoder.config, self._tokenizer, window)
        self._states = hidden_states(encoder, precision)
        self.pads = self._states.pads
        self._budget = pass_tokens(precision.device, pads=self.pads)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's token ids, cut to the window."""
        return tokenize(self._tokenizer, texts, self.window)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` with the special ones, whether or not they fit into the window; of a long one, some more."""
        beginning = opening(self._tokenizer, text, self.window)
        return len(self._tokenizer(beginning, truncation=False, verbose=False)["input_ids"])

    def prompt(self, role: str | None) -> str:
        """What the folder wants in front of texts of that role (`query`, `document`), or of any text by default."""
        return self._prompts.get(role or "", self._default_prompt)

    @torch.inference_mode()
    def encode(self, rows: Sequence[TokenIds], pooling: Sequence[How]) -> Vectors:
        """Vectors of shape (rows, dimensions), row i pooled as `pooling[i]` says. `rows` must not be empty."""
        groups = list(passes([len(row) for row in rows], self._budget))
        parts = [self._pass([rows[i] for i in group], [pooling[i] for i in group]) for group in groups]
        vectors = np.concatenate(parts)
        out = np.empty_like(vectors)
        out[np.concatenate(groups)] = vectors
        return out

    def _pass(self, rows: Sequence[TokenIds], pooling: Sequence[How]) -> Vectors:
        states = self._states(rows)
        lengths = torch.tensor([len(row) for row in rows], device=states.device)
        ends = lengths.cumsum(0)
        pooled = {
            "mean": torch.segment_reduce(states, "mean", lengths=lengths),
            "cls": states[ends - lengths],
            "lasttoken": states[ends - 1],
        }
        chosen = torch.tensor([HOW.index(how) for how in pooling], device=states.device)
        every = torch.stack([pooled[how] for how in HOW])
        features = {"sentence_embedding": every[chosen, torch.arange(len(rows), device=states.device)]}
        for module in self._after:
            features = module(features)
        vectors: Vectors = features["sentence_embedding"].cpu().numpy()
        return vectors


def _parts(model: SentenceTransformer, normalize: bool | None) -> tuple[Any, How, list[torch.nn.Module]]:
    """The bare encoder, how the folder pools, and in float32 what comes after; `ConfigError` if that is unknown."""
    match list(model.children()):
        case [Transformer() as transformer, Pooling() as pooling, *after]:
            pass
        case _:
            raise ConfigError("modules.json: an encoder followed by pooling is expected")
    if pooling.pooling_mode not in HOW or not pooling.include_prompt:
        raise ConfigError(f"1_Pooling: one of {', '.join(HOW)} over all tokens, prompts included, is expected")
    if normalize is not None:
        after = [module for module in after if not isinstance(module, Normalize)]
    if normalize:
        after.append(Normalize())
    return transformer.auto_model, pooling.pooling_mode, [module.float() for module in after]
