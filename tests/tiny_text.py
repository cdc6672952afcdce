"""Makes real checkpoints of rerankers, further embedders, translators and summarisers with random weights, offline."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from tests import tiny

EMBED_WINDOW = 64
WIDTH = tiny.SIZES["hidden_size"]
DECODER = {"head_dim": 8, "num_key_value_heads": 2}
EMBEDDERS = {
    "bge-m3": ("xlm-roberta", {"max_position_embeddings": EMBED_WINDOW + 1}, "cls"),
    "qwen3-embedding": ("qwen3", DECODER, "lasttoken"),
    "embeddinggemma": ("gemma3_text", {**DECODER, "use_bidirectional_attention": True, "sliding_window": 8}, "mean"),
}
PROMPTS = {"query": "q u e r y : ", "document": "d o c : "}


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


def embedder(folder: Path, like: str, prompts: dict[str, str] | None = None, default: str | None = None) -> Path:
    """A sentence-transformers folder with the modules of one of `EMBEDDERS`."""
    torch.manual_seed(0)
    kind, sizes, pooling = EMBEDDERS[like]
    tokenizer = tiny.word_tokenizer(EMBED_WINDOW)
    if kind == "qwen3":
        tokenizer.padding_side = "left"
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A [SEP]", special_tokens=[("[SEP]", 3)]
        )
    fields = {"max_position_embeddings": EMBED_WINDOW, "pad_token_id": 0, "intermediate_size": 64, **tiny.SIZES}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **(fields | sizes))
    save(AutoModel.from_config(config), tokenizer, folder / "bare")
    dense = [Dense(WIDTH, 48, bias=False), Dense(48, WIDTH, bias=False)] if like == "embeddinggemma" else []
    modules = [Transformer(str(folder / "bare")), Pooling(WIDTH, pooling), *dense, Normalize()]
    model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts, default_prompt_name=default)
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"
