"""Makes real checkpoints of rerankers, further embedders, translators and summarisers with random weights, offline."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    M2M100Tokenizer,
    NllbTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

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


def _seq2seq(folder: Path, kind: str, tokenizer: PreTrainedTokenizerBase, vocabulary: int, **generation: Any) -> Path:
    """An encoder-decoder of the family `kind` that searches with beams, as its big relatives do."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=EMBED_WINDOW,
        init_std=0.3,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    model = AutoModelForSeq2SeqLM.from_config(config)
    model.generation_config = GenerationConfig(
        bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, early_stopping=True, **generation
    )
    return save(model, tokenizer, folder)


def translator(folder: Path, languages: str = "m2m100") -> Path:
    """M2M-100 with its hundred languages (or `wmt21`, with eight of them) and a SentencePiece vocabulary of letters."""
    folder.mkdir(parents=True)
    source = random.Random(0)
    sentences = [" ".join(source.choices(tiny.LETTERS, k=20)) for _ in range(50)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=60,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "sentencepiece.bpe.vocab").unlink()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    names = ["<s>", "<pad>", "</s>", "<unk>", *(pieces.id_to_piece(id) for id in range(3, len(pieces)))]
    (folder / "vocab.json").write_text(json.dumps({name: id for id, name in enumerate(names)}))
    tokenizer = M2M100Tokenizer(
        str(folder / "vocab.json"),
        str(folder / "sentencepiece.bpe.model"),
        language_codes=languages,
        additional_special_tokens=[f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES[languages]],
        model_max_length=EMBED_WINDOW,
    )
    vocabulary = len(names) + len(tokenizer.lang_code_to_id) + tokenizer.num_madeup_words
    return _seq2seq(folder, "m2m_100", tokenizer, vocabulary, num_beams=5, max_length=24, no_repeat_ngram_size=1)


def nllb(folder: Path) -> Path:
    """NLLB with its two hundred languages and a vocabulary of letters."""
    names = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *(f"{mark}{letter}" for mark in ("\u2581", "") for letter in tiny.LETTERS),
    ]
    tokenizer = NllbTokenizer(vocab={name: id for id, name in enumerate(names)}, model_max_length=EMBED_WINDOW)
    return _seq2seq(folder, "m2m_100", tokenizer, len(tokenizer), num_beams=5, max_length=24, no_repeat_ngram_size=1)


def summarizer(folder: Path) -> Path:
    """BART with one token for each byte and the generation settings of bart-large-cnn, shortened."""
    names = ("<s>", "<pad>", "</s>", "<unk>")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({piece: id for id, piece in enumerate((*names, *alphabet))}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    roles = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), names, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **roles)
    settings = {
        "num_beams": 4,
        "length_penalty": 2.0,
        "min_length": 8,
        "max_length": 20,
        "no_repeat_ngram_size": 3,
        "forced_bos_token_id": 0,
        "forced_eos_token_id": 2,
    }
    return _seq2seq(folder, "bart", tokenizer, len(tokenizer), **settings)
