"""Tells what kind of language-model weights a path holds; reads names only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.config import ConfigError, ModelSpec


@dataclass(frozen=True, slots=True)
class Weights:
    """`path` is the file of a GGUF, and the folder of OpenVINO's form and of safetensors."""

    kind: Literal["gguf", "openvino", "safetensors"]
    path: Path


def find_weights(spec: ModelSpec, files: Path) -> Weights:
    """The weights at `files`, a file or folder; raises `ConfigError` if it holds none or several."""
    if files.suffix.lower() == ".gguf":
        return Weights("gguf", files)
    if (files / "openvino_model.xml").is_file():
        return Weights("openvino", files)
    if (files / "config.json").is_file() and any(files.glob("*.safetensors")):
        return Weights("safetensors", files)
    found = sorted(files.glob("*.gguf"))
    if len(found) == 1:
        return Weights("gguf", found[0])
    if found:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"row {spec.name}: source: names a folder of several GGUF files ({names}): name one of them")
    raise ConfigError(f"row {spec.name}: source: holds no GGUF file, OpenVINO model or config.json with safetensors")
