"""Loads a causal language model and its tokenizer with transformers, from local files only; generates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.backend import Tokenizer
from gateway.engines.llm.weights import Weights


class TransformersTokenizer:
    """The tokenizer that comes with the weights."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        named = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {}
        self.template: str | None = named.get("default") if named else tokenizer.chat_template or None
        self.tool_template: str | None = named.get("tool_use")
        self.response_template: Mapping[str, Any] | None = getattr(tokenizer, "response_template", None)
        self.bos_token: str = tokenizer.bos_token or ""
        self.eos_token: str = tokenizer.eos_token or ""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of `text`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return ids

    def decode(self, rows: Sequence[Sequence[int]], *, special: bool = False) -> list[str]:
        """The text of each row; special tokens are left out unless asked for."""
        texts: list[str] = self._tokenizer.batch_decode(
            list(map(list, rows)), skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        return texts


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run. `window` is in tokens; `ends` are the tokens that end a turn."""

    model: Any
    tokenizer: Tokenizer
    window: int
    ends: frozenset[int]


def load(spec: ModelSpec, weights: Weights, dtype: torch.dtype, device: str) -> Loaded:
    """Read the weights; no code from their folder runs and no pickle is read.

    Raises `ConfigError` if neither the weights nor the row say how long the window is.
    """
    folder = weights.path
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    unpack: dict[str, Any] = {}
    if weights.kind == "gguf":
        folder = weights.path.parent
        where["gguf_file"] = weights.path.name
        # Left packed, the weights are multiplied by kernels that the library would fetch from a hub.
        unpack["quantization_config"] = GgufConfig(dequantize=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, **where)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **where, **unpack)
    window = _window(spec, model.config)
    return Loaded(model.to(device).eval(), TransformersTokenizer(tokenizer), window, _ends(model, tokenizer))


def _window(spec: ModelSpec, config: Any) -> int:
    own = getattr(config.get_text_config(), "max_position_embeddings", None)
    known = [window for window in (spec.context_window, own) if window]
    if not known:
        raise ConfigError(f"row {spec.name}: context_window: is not in the weights, so the row must say it")
    return min(known)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The generation config's, which may be several, and the tokenizer's."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, tokenizer.eos_token_id) if end is not None)
