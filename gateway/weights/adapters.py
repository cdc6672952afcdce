"""The LoRA adapters of a row: pulled and kept like weights, checked, and found; knows no engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config import ModelSpec
from gateway.weights.errors import WeightsMissing, WeightsRefused

if TYPE_CHECKING:
    from gateway.weights.store import Store

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAX_SIZE_BYTES = 500_000_000
MAX_RANK = 32


def adapter_rows(spec: ModelSpec) -> Iterator[ModelSpec]:
    """Each adapter as a row of its own, for the store; in the order of the row's `loras`."""
    for name, source in spec.loras.items():
        changes = {"source": source, "files": (CONFIG, WEIGHTS), "loras": {}, "native_library": False}
        yield spec.model_copy(update={"name": f"{spec.name} (loras.{name})", "description": "LoRA adapter", **changes})


def with_local_adapters(spec: ModelSpec, store: Store) -> ModelSpec:
    """The row with its adapters as `file:` folders on this machine; raises as `Store.path` and `check_adapter` do."""
    found: dict[str, str] = {}
    for name, row in zip(spec.loras, adapter_rows(spec), strict=True):
        try:
            folder = store.path(row)
        except WeightsMissing:
            raise WeightsMissing(
                f"the LoRA adapter {name} of {spec.name} is not on this machine: run `gateway models pull {spec.name}`"
            ) from None
        check_adapter(row.name, folder)
        found[name] = f"file:{folder}"
    return spec.model_copy(update={"loras": found})


def check_adapter(name: str, folder: Path) -> None:
    """Raise `WeightsRefused`, naming what is wrong, unless `folder` holds a LoRA adapter within the bounds."""
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise WeightsRefused(f"{name} is refused: there is no {file}")
    size_bytes = (folder / WEIGHTS).stat().st_size
    if size_bytes > MAX_SIZE_BYTES:
        raise WeightsRefused(f"{name} is refused: {WEIGHTS} has {size_bytes} bytes, the most is {MAX_SIZE_BYTES}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        rank = max(int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values()), 0)
        kind = config.get("peft_type", "LORA")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WeightsRefused(f"{name} is refused: {CONFIG} does not say a rank `r`") from None
    if kind != "LORA":
        raise WeightsRefused(f"{name} is refused: it is not a LoRA adapter, but {str(kind)[:40]}")
    if not 1 <= rank <= MAX_RANK:
        raise WeightsRefused(f"{name} is refused: its rank is {rank}, it may be from 1 to {MAX_RANK}")
