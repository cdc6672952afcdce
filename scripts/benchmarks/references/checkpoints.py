"""Makes checkpoints of usual sizes with random weights, offline: speed does not depend on what they have learned."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPProcessor,
    ConvNextImageProcessorPil,
    DetrImageProcessorPil,
    PreTrainedModel,
    ResNetConfig,
)

CLASSES = 1000


def _minilm(folder: Path, minilm: str, labels: tuple[str, ...]) -> None:
    """MiniLM's encoder and tokenizer with a random head: six layers of width 384."""
    numbers = {label: number for number, label in enumerate(labels)}
    config = BertConfig.from_pretrained(minilm, id2label=dict(enumerate(labels)), label2id=numbers)
    BertForSequenceClassification.from_pretrained(minilm, config=config, dtype=torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)


def _classifier(folder: Path, minilm: str) -> None:
    _minilm(folder, minilm, ("NEGATIVE", "POSITIVE"))


def _reranker(folder: Path, minilm: str) -> None:
    _minilm(folder, minilm, ("RELEVANT",))


def _saved(model: PreTrainedModel, folder: Path) -> None:
    model.eval().save_pretrained(folder)


def _resnet(folder: Path, _: str) -> None:
    """ResNet-50 at 224 pixels."""
    _saved(AutoModelForImageClassification.from_config(ResNetConfig(num_labels=CLASSES)), folder)
    ConvNextImageProcessorPil(size={"shortest_edge": 224}, crop_pct=0.875).save_pretrained(folder)


def _detr(folder: Path, _: str) -> None:
    """DETR with a ResNet-50, pictures of up to 800 by 1333 pixels."""
    config = AutoConfig.for_model(
        "detr", backbone_config=ResNetConfig(out_features=["stage4"]), use_timm_backbone=False, num_labels=91
    )
    _saved(AutoModelForObjectDetection.from_config(config), folder)
    DetrImageProcessorPil().save_pretrained(folder)


def _clip(folder: Path, minilm: str) -> None:
    """CLIP with a ViT-B/32 for pictures and a tower of the same width for texts, cut with MiniLM's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(minilm, model_max_length=77)
    text = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    _saved(AutoModel.from_config(CLIPConfig(text_config=text)), folder)
    CLIPProcessor(CLIPImageProcessorPil(), tokenizer).save_pretrained(folder)


KINDS: dict[str, Callable[[Path, str], None]] = {
    "text-classification": _classifier,
    "reranking": _reranker,
    "image-classification": _resnet,
    "object-detection": _detr,
    "multimodal-embeddings": _clip,
}


def main(kind: str, folder: str, minilm: str) -> None:
    """Make the checkpoint of that kind in `folder`; `minilm` is the folder of all-MiniLM-L6-v2."""
    torch.manual_seed(0)
    KINDS[kind](Path(folder), minilm)


if __name__ == "__main__":
    main(*sys.argv[1:])
