"""Reads the LoRA adapters of a row, which are as peft writes them and within the store's bounds; knows no model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.config import ConfigError, ModelSpec
from gateway.weights.adapters import CONFIG, WEIGHTS

PREFIX = "base_model.model."
# What is more than products of low rank beside those of the model, which can be chosen row by row, and its plain value.
_ALONE = {
    "use_dora": False,
    "modules_to_save": None,
    "alora_invocation_tokens": None,
    "target_parameters": None,
    "layer_replication": None,
    "trainable_token_indices": None,
    "bias": "none",
    "lora_bias": False,
}


@dataclass(frozen=True, slots=True)
class LowRank:
    """What an adapter adds to a module's output: `up` [outputs, rank] times `down` [rank, inputs] times the input."""

    down: NDArray[np.float32]
    up: NDArray[np.float32]


class AdapterMisfit(ConfigError):
    """An adapter that this model cannot have; the text names it, without its row."""


def adapter_folders(spec: ModelSpec) -> Iterator[tuple[str, Path]]:
    """Each adapter of a row, by its name; raises `ConfigError` for a kind that cannot share a pass with others."""
    for name, source in spec.loras.items():
        folder = Path(source.removeprefix("file:"))
        config = _config(folder)
        for setting, plain in _ALONE.items():
            if config.get(setting, plain) not in (plain, None, [], {}, False):
                raise ConfigError(f"row {spec.name}: loras.{name}: {setting} is not supported")
        yield name, folder


def read_adapters(spec: ModelSpec) -> dict[str, dict[str, LowRank]]:
    """By the names of adapters and of modules what they add.

    Raises `ConfigError` for one that cannot be read, and `AdapterMisfit` for one that changes more than products.
    """
    found: dict[str, dict[str, LowRank]] = {}
    for name, folder in adapter_folders(spec):
        try:
            found[name] = dict(_read(folder))
        except ValueError as error:
            raise AdapterMisfit(f"loras.{name}: does not fit the model: {error}") from None
    return found


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return config


def _read(folder: Path) -> Iterator[tuple[str, LowRank]]:
    """Each module's two matrices, the second one scaled; raises `ValueError` for anything else."""
    from safetensors.torch import load_file  # numpy has no bfloat16

    config, tensors = _config(folder), load_file(folder / WEIGHTS)
    for key, down in tensors.items():
        module, _, side = key.removeprefix(PREFIX).partition(".lora_")
        if side not in ("A.weight", "B.weight"):
            raise ValueError(f"{key[:200]} is not of a product of low rank")
        up = tensors.get(key.replace(".lora_A.", ".lora_B."))
        if up is None or (side == "A.weight" and up.shape[1:] != down.shape[:1]):
            raise ValueError(f"{key[:200]} has no fitting lora_B")
        if side == "A.weight":
            yield module, LowRank(_array(down), _array(up) * np.float32(_scale(config, module)))


def _array(tensor: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = tensor.float().numpy()
    return found


def _scale(config: Mapping[str, Any], module: str) -> float:
    """`lora_alpha` by the rank, or by its root (rsLoRA, Kalajdzievski, 2023), as peft reads its configuration."""
    rank = _of_module(config.get("rank_pattern"), module, config.get("r"))
    alpha = _of_module(config.get("alpha_pattern"), module, config.get("lora_alpha"))
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _of_module(patterns: Mapping[str, Any] | None, module: str, usual: Any) -> Any:
    """The value of the first pattern that ends the module's name."""
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return usual
