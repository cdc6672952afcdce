"""Loads a language model, its tokenizer and its sight with transformers, from local files only; generates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GgufConfig,
)

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.decoding import Prompt
from gateway.engines.llm.facts import window_of
from gateway.engines.llm.pictures import Picture
from gateway.engines.llm.sight import Sight, load_sight
from gateway.engines.llm.weights import Weights
from gateway.engines.quantized import Reading, check_complete


class TransformersTokenizer:
    """The tokenizer that comes with the weights."""

    def __init__(self, tokenizer: Any, template: str | None = None) -> None:
        self.library = self._tokenizer = tokenizer
        named = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {}
        own: str | None = named.get("default") if named else tokenizer.chat_template or None
        self.template = template or own
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


class SightedTokenizer(TransformersTokenizer):
    """The tokenizer of a model that takes pictures as well (`Sighted`)."""

    def __init__(self, tokenizer: Any, sight: Sight) -> None:
        super().__init__(tokenizer, sight.template)
        self._sight = sight

    def encode_with_pictures(self, text: str, pictures: Sequence[Picture], *, add_special_tokens: bool) -> Prompt:
        """The prompt of a text and its pictures."""
        return self._sight.encode(text, pictures, add_special_tokens=add_special_tokens)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run. `window` is in tokens; `ends` are the tokens that end a turn."""

    model: Any
    tokenizer: TransformersTokenizer
    window: int
    ends: frozenset[int]


def load(spec: ModelSpec, weights: Weights, dtype: torch.dtype, device: str) -> Loaded:
    """Read the weights, with the sight of a model that has one; no code from their folder runs and no pickle is read.

    Raises `ConfigError` if the weights are quantized in a way that cannot be read here or lack a part of the model, or
    if neither they nor the row say how long the window is.
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
    # A GGUF has no sight, and to read its header takes seconds.
    config = None if weights.kind == "gguf" else AutoConfig.from_pretrained(folder, **where)
    sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and hasattr(config, "vision_config")
    kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    model = _read(spec, kind, weights, {"dtype": dtype, "device_map": {"": device}, **where, **unpack})
    sight = load_sight(folder, config) if sees else None
    ours = TransformersTokenizer(tokenizer) if sight is None else SightedTokenizer(tokenizer, sight)
    return Loaded(model.eval(), ours, _window(spec, model.config), _ends(model, tokenizer))


def _read(spec: ModelSpec, kind: Any, weights: Weights, how: dict[str, Any]) -> Any:
    """The model by the class `kind`, every part of it from the files."""
    reading = None
    try:
        if weights.kind == "gguf":
            return _whole(kind, weights.path.parent, how)
        reading = Reading.of(weights.path, how["device_map"][""])
        return reading.finish(_whole(kind, weights.path, how | reading.arguments), how["dtype"])
    except ConfigError as error:
        raise ConfigError(f"row {spec.name}: source: {error.detail}") from error
    except Exception as error:  # the packages that unpack numbers raise what they like
        said = None if reading is None else reading.failure(error)
        if said is None:
            raise
        raise ConfigError(f"row {spec.name}: source: {said.detail}") from error


def _whole(kind: Any, folder: Path, how: dict[str, Any]) -> Any:
    model, found = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **how)
    check_complete(found)
    return model


def _window(spec: ModelSpec, config: Any) -> int:
    return window_of(spec, getattr(config.get_text_config(), "max_position_embeddings", None))


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The generation config's, which may be several, and the tokenizer's."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(end for end in (*ends, tokenizer.eos_token_id) if end is not None)
