"""Turns texts into token ids and sentence vectors with a sentence-transformers folder; knows no task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import PreTrainedTokenizerBase

from gateway.config import ConfigError
from gateway.engines.packing import PACKED, TokenIds, can_pack, first_position, hidden_states, passes
from gateway.engines.precision import Precision

PASS_TOKENS = {"cpu": 1024, "cuda": 16384}
How = Literal["mean", "cls"]
Vectors = npt.NDArray[np.float32]


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], window: int) -> list[list[int]]:
    """Each text's token ids with the special ones, cut to `window` as the model's own tokenizer cuts."""
    encoded = tokenizer(
        list(texts), truncation=True, max_length=window, return_attention_mask=False, return_token_type_ids=False
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def usable_window(config: Any, tokenizer: PreTrainedTokenizerBase, wanted: int | None) -> int:
    """Tokens of one text that count: what the row wants, the tokenizer says and the positions allow, the least."""
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    positions -= first_position(config)
    return min(wanted or positions, positions, tokenizer.model_max_length)


class Encoder:
    """One vector per text, the same as `SentenceTransformer.encode` gives whatever the batch around the text.

    Pooling is the caller's choice; what the folder's modules.json puts after pooling is applied as it says,
    except that `normalize` overrules whether vectors get length 1. Prompts of the folder are not applied.
    """

    def __init__(self, files: Path, precision: Precision, window: int | None = None, normalize: bool | None = None):
        model = SentenceTransformer(
            str(files),
            device=precision.device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": precision.torch_dtype, "use_safetensors": True},
        ).eval()
        self._model, self._after = _parts(model, normalize)
        self._tokenizer = model.tokenizer
        self._budget = PASS_TOKENS[self._model.device.type]
        self.dimensions: int = model.get_embedding_dimension() or self._model.config.hidden_size
        self.window = usable_window(self._model.config, self._tokenizer, window)
        if can_pack(self._model.config, self._model.device):
            self._model.set_attn_implementation(PACKED)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's token ids, cut to the window."""
        return tokenize(self._tokenizer, texts, self.window)

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
        states = hidden_states(self._model, rows)
        lengths = torch.tensor([len(row) for row in rows], device=states.device)
        means = torch.segment_reduce(states, "mean", lengths=lengths)
        firsts = states[lengths.cumsum(0) - lengths]
        is_cls = torch.tensor([how == "cls" for how in pooling], device=states.device)
        features = {"sentence_embedding": torch.where(is_cls[:, None], firsts, means)}
        for module in self._after:
            features = module(features)
        vectors: Vectors = features["sentence_embedding"].cpu().numpy()
        return vectors


def _parts(model: SentenceTransformer, normalize: bool | None) -> tuple[Any, list[torch.nn.Module]]:
    """The bare encoder, and in float32 what comes after pooling; raises `ConfigError` for another arrangement."""
    match list(model.children()):
        case [Transformer() as transformer, Pooling(), *after]:
            pass
        case _:
            raise ConfigError("modules.json: an encoder followed by pooling is expected")
    if normalize is not None:
        after = [module for module in after if not isinstance(module, Normalize)]
    if normalize:
        after.append(Normalize())
    return transformer.auto_model, [module.float() for module in after]
