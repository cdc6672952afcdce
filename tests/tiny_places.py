"""Makes open-vocabulary detectors of the published architectures with random weights, offline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForZeroShotObjectDetection,
    GroundingDinoImageProcessorPil,
    Owlv2ImageProcessorPil,
    OwlViTImageProcessorPil,
    SwinConfig,
)

from tests import tiny, tiny_diffusion

_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
WINDOW = 16


def detector(folder: Path, kind: str = "owlv2") -> Path:
    """A detector of the family `kind`: owlvit, owlv2 or grounding-dino."""
    config, processor, tokenizer = _dino() if kind == "grounding-dino" else _owl(kind, folder)
    torch.manual_seed(0)
    model = AutoModelForZeroShotObjectDetection.from_config(config).eval()
    # The usual small weights would find the same in every picture, and whatever the words.
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, 0, 1.5 / math.sqrt(weights[0].numel()))
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    return folder


def _owl(kind: str, folder: Path) -> tuple[Any, Any, Any]:
    tokenizer = tiny_diffusion.clip_tokenizer(folder)
    tokenizer.model_max_length = WINDOW
    text = {**_TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": WINDOW}
    vision = {**_TOWER, "image_size": 64, "patch_size": 16}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, projection_dim=32)
    processor = Owlv2ImageProcessorPil if kind == "owlv2" else OwlViTImageProcessorPil
    return config, processor(size={"height": 64, "width": 64}), tokenizer


def _dino() -> tuple[Any, Any, Any]:
    tokenizer = tiny.word_tokenizer()
    heads = {f"{part}_attention_heads": 4 for part in ("encoder", "decoder")}
    layers = {"encoder_layers": 1, "decoder_layers": 2}
    widths = {f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")}
    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 4], window_size=4, out_indices=[1, 2, 3]
    )
    text = AutoConfig.for_model("bert", vocab_size=len(tokenizer), max_position_embeddings=tiny.WINDOW, **_TOWER)
    config = AutoConfig.for_model(
        "grounding-dino",
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        num_queries=10,
        num_feature_levels=3,
        max_text_len=tiny.WINDOW,
        **heads,
        **layers,
        **widths,
    )
    return config, GroundingDinoImageProcessorPil(size={"shortest_edge": 48, "longest_edge": 80}), tokenizer
