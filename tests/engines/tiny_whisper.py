"""A multilingual Whisper with random weights, in the layout of the real ones; what it hears means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from ctranslate2.converters.transformers import WhisperLoader
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperForConditionalGeneration

TEXT_TOKENS, TIMESTAMPS = 50_257, 1501


def vocabulary() -> tuple[list[str], list[str]]:
    """Text tokens (each byte, then fillers) and special tokens, in the order and number of the real models.

    The empty token that closes the texts is what CTranslate2 tells multilingual models by.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    text = letters + [f"filler{n}" for n in range(TEXT_TOKENS - len(letters) - 1)] + [""]
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES if code != "yue"]
    modes = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, *(f"<|{mode}|>" for mode in modes)]
    return text, special


def write(folder: Path) -> Path:
    """Write model.bin, vocabulary, config and tokenizer into `folder`."""
    text, special = vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(text)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    stamps = [f"<|{n * 0.02:.2f}|>" for n in range(TIMESTAMPS)]

    torch.manual_seed(0)
    layers = dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    heads = dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    width = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    config = WhisperConfig(vocab_size=len(text) + len(special) + len(stamps), **layers, **heads, **width)
    spec = WhisperLoader().get_model_spec(WhisperForConditionalGeneration(config).eval())
    spec.register_vocabulary(text + special + stamps)
    spec.config.lang_ids = [len(text) + 2 + n for n in range(99)]
    spec.config.alignment_heads = [(0, 0)]
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["alignment_heads"]
    return folder
