"""What a text-generation row may set under `options`; knows no library."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from gateway.config import Frozen

ToolFormatName = Literal[
    "auto",
    "deepseek",
    "deepseek-bare",
    "declared",
    "gemma",
    "glm",
    "glm-compact",
    "granite",
    "harmony",
    "hermes",
    "kimi",
    "llama",
    "mistral",
    "mistral-tagged",
    "nemotron",
    "pythonic",
    "qwen-coder",
]
ReasoningFormatName = Literal["auto", "none", "think", "mistral", "gemma"]


class Options(Frozen):
    """Settings of the engine. `keep_converted` and `fixed_graphs_mib` concern OpenVINO.

    `kv_cache_gib`: memory for attention keys and values; default: what `max_streams` full windows need, at most
    a quarter of the machine's. `keep_converted`: keep the converted form of a GGUF beside it for faster starts.
    `cache`: how transformers keeps attention keys and values: `paged`, in pages of one pool, which `kv_cache_gib`
    bounds, or `merged`, in batches that grow; `auto`: paged with flash attention or sliding windows.
    `prefix_cache_mib`: memory in which OpenVINO and merged batches keep earlier prompts, for later ones that begin
    alike.
    `fixed_graphs_mib`: memory in which small models are compiled again for passes of few streams, as these come.
    `tool_format`, `reasoning_format`: how the model writes calls and reasoning; default: what its chat template
    shows. `schema_in_prompt`: tell the model the schema that its answer must have.
    `places`: the folder among the row's files with an open-vocabulary detector, which answers what is asked about
    places; `places_threshold`: the score that an object must exceed, by default the library's own.
    """

    backend: Literal["auto", "openvino", "transformers"] = "auto"
    cache: Literal["auto", "paged", "merged"] = "auto"
    kv_cache_gib: int | None = Field(default=None, ge=1)
    prefix_cache_mib: int = Field(default=512, ge=0)
    fixed_graphs_mib: int = Field(default=768, ge=0)
    keep_converted: bool = True
    tool_format: ToolFormatName = "auto"
    reasoning_format: ReasoningFormatName = "auto"
    schema_in_prompt: bool = False
    places: str | None = Field(default=None, pattern=r"^\w[\w.-]*$")
    places_threshold: float | None = Field(default=None, ge=0, lt=1)


def quarter_bytes() -> int:
    """A quarter of the machine's memory: what keys and values take at most where no option says it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
