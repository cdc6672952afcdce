"""What a text-generation row may set under `options`; knows no library."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config import Frozen


class Options(Frozen):
    """Settings of the engine. All but `backend` and `prefix_cache_mib` concern OpenVINO.

    `batch_invariant`: round alike whatever streams run side by side, at about half the throughput.
    `kv_cache_gib`: memory for attention keys and values; default: what `max_streams` full windows need, at most
    a quarter of the machine's. `prefix_cache_mib`: memory in which transformers keeps earlier prompts,
    for later ones that begin alike. `keep_converted`: keep the converted form of a GGUF beside it for faster starts.
    """

    backend: Literal["auto", "openvino", "transformers"] = "auto"
    batch_invariant: bool = False
    kv_cache_gib: int | None = Field(None, ge=1)
    prefix_cache_mib: int = Field(512, ge=0)
    keep_converted: bool = True
