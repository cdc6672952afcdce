"""Makes real checkpoints of rerankers, further embedders, translators and summarisers with random weights, offline."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from tests import tiny


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """A transformers folder of the two."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pair_tokenizer(window: int = tiny.WINDOW) -> PreTrainedTokenizerFast:
    """`tiny.word_tokenizer` for pairs of texts too, with the type of each token as BERT wants it."""
    tokenizer = tiny.word_tokenizer(window)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        model_max_length=window,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **tokenizer.special_tokens_map,
    )


def cross_encoder(folder: Path, kind: str = "xlm-roberta", labels: int = 1) -> Path:
    """A reranker in the layout of bge-reranker-base: a sequence classifier with one label."""
    torch.manual_seed(0)
    tokenizer = pair_tokenizer() if kind == "bert" else tiny.word_tokenizer()
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        max_position_embeddings=tiny.WINDOW + (kind == "xlm-roberta"),
        pad_token_id=0,
        intermediate_size=64,
        num_labels=labels,
        **tiny.SIZES,
    )
    return save(AutoModelForSequenceClassification.from_config(config), tokenizer, folder)
