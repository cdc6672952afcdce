"""Makes real checkpoints with random weights, small enough for a test, offline."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WINDOW = 32
# Wide enough weights that positions and attention show in the output, which the usual 0.02 would hide.
SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "initializer_range": 0.3}


def words(count: int, longest: int = 50, seed: int = 0) -> list[str]:
    """Texts of 1 to `longest` letters: by default shorter and longer than the window."""
    source = random.Random(seed)
    return [" ".join(source.choices(LETTERS, k=source.randint(1, longest))) for _ in range(count)]


def word_tokenizer(window: int = WINDOW) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer that knows single letters, so a word has as many tokens as letters."""
    vocabulary = {piece: id for id, piece in enumerate((*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=window, **names)


def _config(kind: str, **more: Any) -> Any:
    """A small configuration of the family `kind` (bert, distilbert, xlm-roberta, …) for `word_tokenizer`."""
    sizes = dict(SIZES)
    if kind == "distilbert":
        sizes = {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 64, "initializer_range": 0.3}
    else:
        sizes["intermediate_size"] = 64
    extra = 1 if kind in ("roberta", "xlm-roberta") else 0
    vocabulary = len(word_tokenizer())
    return AutoConfig.for_model(
        kind, vocab_size=vocabulary, max_position_embeddings=WINDOW + extra, pad_token_id=0, **sizes, **more
    )


def _save(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentence_encoder(folder: Path, kind: str = "bert", *, normalize: bool = True) -> Path:
    """A sentence-transformers folder in the layout of all-MiniLM-L6-v2: encoder, mean pooling, normalisation."""
    torch.manual_seed(0)
    _save(AutoModel.from_config(_config(kind)), word_tokenizer(), folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalize else [])]
    rows = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}
        for index, (path, name) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": WINDOW}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": SIZES["hidden_size"], "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def sequence_classifier(folder: Path, labels: tuple[str, ...], kind: str = "distilbert") -> Path:
    """A transformers folder with a classification head over `labels`."""
    torch.manual_seed(0)
    config = _config(kind, id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    return _save(AutoModelForSequenceClassification.from_config(config), word_tokenizer(), folder)


def behead(files: Path, head: str) -> None:
    """Take the tensors whose names begin with `head` out of the folder's weights."""
    weights = load_file(files / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(head)}
    save_file(kept, files / "model.safetensors", metadata={"format": "pt"})


CHAT_TEMPLATE = """{{ bos_token }}{% for message in messages %}
{% if message.role not in ('system', 'user', 'assistant') %}{{ raise_exception('no role ' + message.role) }}{% endif %}
{{ '<|' + message.role + '|>' + message.content + eos_token }}
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte, so that a character may take four, and special tokens for the turns of a chat."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
    tokenizer = Tokenizer(models.BPE({piece: id for id, piece in enumerate((*names, *alphabet))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=list(names[3:]),
        chat_template=CHAT_TEMPLATE,
    )


def chat_model(folder: Path, kind: str = "llama", window: int = 2048, **more: Any) -> Path:
    """A causal language model of the family `kind` with `byte_tokenizer`."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(byte_tokenizer()),
        max_position_embeddings=window,
        num_key_value_heads=2,
        intermediate_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **(SIZES | more),
    )
    return _save(AutoModelForCausalLM.from_config(config), byte_tokenizer(), folder)
