"""Makes real vision checkpoints with random weights, small enough for a test, offline; and pictures to show them."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    CLIPImageProcessorPil,
    ConvNextImageProcessorPil,
    DetrImageProcessorPil,
    HGNetV2Config,
    PretrainedConfig,
    ResNetConfig,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    SiglipImageProcessorPil,
    ViTImageProcessorPil,
    YolosImageProcessorPil,
)

from tests import tiny

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {label: id for id, label in enumerate(LABELS)}}
SIDE = 32
_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
STAGES = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_HGNET = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 24, 32],
    "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 8, 16, 24],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [8, 16, 24, 32],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
}
_DETR = {"d_model": 32, "num_queries": 10, "encoder_layers": 1, "decoder_layers": 2}
_DETR |= {
    f"{part}_{size}": n for part in ("encoder", "decoder") for size, n in (("ffn_dim", 64), ("attention_heads", 4))
}


def picture(width: int, height: int, seed: int = 0, kind: str = "PNG", **options: Any) -> bytes:
    """A file of the given kind with a coarse random pattern, so that pictures differ after any resizing."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, kind, **options)
    return buffer.getvalue()


def _save(kind: Any, config: PretrainedConfig, processor: Any, folder: Path, gain: float = 2.0) -> Path:
    torch.manual_seed(0)
    model = kind.from_config(config)
    # The usual small weights would give every picture the same answer.
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, 0, gain / math.sqrt(weights[0].numel()))
    for name, statistics in model.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.uniform_(statistics, -0.2, 0.2)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(statistics, 0.5, 1.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def image_classifier(folder: Path, kind: str = "resnet", labels: dict[str, Any] = NAMES, **more: Any) -> Path:
    """A classifier over `LABELS` of the family `kind`: resnet or vit."""
    if kind == "resnet":
        processor = ConvNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_pct=0.875)
        config = AutoConfig.for_model(kind, **STAGES, **labels, **more)
    else:
        processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
        config = AutoConfig.for_model(kind, image_size=SIDE, patch_size=8, **_TOWER, **labels, **more)
    return _save(AutoModelForImageClassification, config, processor, folder, gain=1.2 if kind == "resnet" else 2.0)


def object_detector(folder: Path, kind: str = "detr", stages: dict[str, Any] = STAGES) -> Path:
    """A detector of `LABELS` of the family `kind`: detr (its ResNet with these stages), rt_detr, d_fine or yolos."""
    edges = {"shortest_edge": 48, "longest_edge": 80}
    match kind:
        case "detr":
            backbone = ResNetConfig(**stages, out_features=["stage4"])
            config = AutoConfig.for_model(kind, backbone_config=backbone, use_timm_backbone=False, **_DETR, **NAMES)
            processor: Any = DetrImageProcessorPil(size=edges)
        case "rt_detr":
            backbone = RTDetrResNetConfig(**STAGES, out_features=["stage2", "stage3", "stage4"])
            config = AutoConfig.for_model(
                kind,
                backbone_config=backbone,
                encoder_in_channels=[16, 24, 32],
                decoder_in_channels=[32] * 3,
                encoder_hidden_dim=32,
                **_DETR,
                **NAMES,
            )
            processor = RTDetrImageProcessorPil(size={"height": 64, "width": 64})
        case "d_fine":
            config = AutoConfig.for_model(
                kind,
                backbone_config=HGNetV2Config(**_HGNET, out_features=["stage2", "stage3", "stage4"]),
                encoder_in_channels=[16, 24, 32],
                decoder_in_channels=[32] * 3,
                feat_strides=[8, 16, 32],
                encoder_hidden_dim=32,
                decoder_n_points=[2, 2, 2],
                **_DETR,
                **NAMES,
            )
            processor = RTDetrImageProcessorPil(size={"height": 64, "width": 64})
        case _:
            config = AutoConfig.for_model(
                kind, image_size=[48, 80], patch_size=8, num_detection_tokens=10, **_TOWER, **NAMES
            )
            processor = YolosImageProcessorPil(size=edges)
    return _save(AutoModelForObjectDetection, config, processor, folder)


def image_text_embedder(folder: Path, kind: str = "clip") -> Path:
    """An encoder of images and texts of the family `kind`, clip or siglip, with `tiny.word_tokenizer`."""
    tokenizer = tiny.word_tokenizer(tiny.WINDOW)
    tokens = {"vocab_size": len(tokenizer), "max_position_embeddings": tiny.WINDOW}
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    more = {"projection_dim": 16} if kind == "clip" else {}
    config = AutoConfig.for_model(
        kind,
        text_config={**special, **_TOWER, **tokens, **more},
        vision_config={**_TOWER, "image_size": SIDE, "patch_size": 8, **more},
        **more,
    )
    size = {"shortest_edge": SIDE} if kind == "clip" else {"height": SIDE, "width": SIDE}
    processor = (
        CLIPImageProcessorPil(size=size, crop_size={"height": SIDE, "width": SIDE})
        if kind == "clip"
        else SiglipImageProcessorPil(size=size)
    )
    tokenizer.save_pretrained(folder)
    return _save(AutoModel, config, processor, folder)
