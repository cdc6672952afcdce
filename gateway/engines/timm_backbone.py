"""DETR checkpoints whose ResNet has timm's names, given to transformers' own ResNet; knows no task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import AutoConfig, ResNetConfig

from gateway.config import ConfigError

DEPTHS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
_BACKBONE = "backbone.conv_encoder.model."
_PARTS = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}


def without_timm(files: Path) -> dict[str, Any]:
    """What to load instead of the folder `files` if its model would need timm: a `config` and a `state_dict`.

    Empty if it does not. Raises `ConfigError` for a backbone that transformers has no equal of.
    """
    config: Any = AutoConfig.from_pretrained(files, local_files_only=True, trust_remote_code=False)
    backbone = getattr(config, "backbone_config", None)
    if backbone is None or backbone.model_type != "timm_backbone":
        return {}
    if config.model_type != "detr" or backbone.backbone not in DEPTHS or getattr(config, "dilation", False):
        raise ConfigError(f"config.json: its backbone {backbone.backbone} needs timm, which is not supported")
    own: Any = ResNetConfig
    config.backbone_config = own(depths=DEPTHS[backbone.backbone], out_features=["stage4"])
    tensors = load_file(files / "model.safetensors")
    return {"config": config, "state_dict": {_renamed(name): tensor for name, tensor in tensors.items()}}


def _renamed(name: str) -> str:
    head, backbone, rest = name.partition(_BACKBONE)
    return head + backbone + _own(rest) if backbone else name


def _own(name: str) -> str:
    """transformers' name of a tensor in timm's ResNet."""
    match name.split("."):
        case [("conv1" | "bn1") as part, leaf]:
            return f"embedder.embedder.{_PARTS[part[:-1]]}.{leaf}"
        case [layer, block, "downsample", ("0" | "1") as part, leaf]:
            return f"{_block(layer, block)}.shortcut.{_PARTS[part]}.{leaf}"
        case [layer, block, part, leaf] if part[:-1] in _PARTS:
            return f"{_block(layer, block)}.layer.{int(part[-1]) - 1}.{_PARTS[part[:-1]]}.{leaf}"
        case _:
            raise ConfigError(f"model.safetensors: the backbone has a tensor {name}, which is not one of a ResNet")


def _block(layer: str, block: str) -> str:
    return f"encoder.stages.{int(layer.removeprefix('layer')) - 1}.layers.{block}"
