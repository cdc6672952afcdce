"""Makes transducers of Nemotron's and Parakeet's architectures with random weights; what they hear means nothing."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    NemotronAsrStreamingConfig,
    NemotronAsrStreamingFeatureExtractor,
    NemotronAsrStreamingForRNNT,
    NemotronAsrStreamingProcessor,
    ParakeetFeatureExtractor,
    ParakeetForRNNT,
    ParakeetForTDT,
    ParakeetProcessor,
    ParakeetRNNTConfig,
    ParakeetTDTConfig,
    ParakeetTokenizer,
)

MELS = 16
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
KINDS: dict[str, tuple[Any, Any]] = {
    "nemotron": (NemotronAsrStreamingConfig, NemotronAsrStreamingForRNNT),
    "parakeet-rnnt": (ParakeetRNNTConfig, ParakeetForRNNT),
    "parakeet-tdt": (ParakeetTDTConfig, ParakeetForTDT),
}


def tokenizer() -> ParakeetTokenizer:
    """A token for each letter, within a word and at its beginning."""
    letters = string.ascii_lowercase
    vocabulary = ["<unk>", "<pad>", *(f"▁{letter}" for letter in letters), *letters]
    pieces = Tokenizer(models.Unigram([(piece, 0.0) for piece in vocabulary], unk_id=0))
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made = ParakeetTokenizer(tokenizer_object=pieces, unk_token="<unk>", pad_token="<pad>")
    made.add_special_tokens({"additional_special_tokens": ["<blank>"]})
    return made


def write(folder: Path, kind: str = "nemotron") -> Path:
    """Write weights, configuration and processor into `folder`, in the layout of the published ones."""
    torch.manual_seed(0)
    words = tokenizer()
    blank = words.convert_tokens_to_ids("<blank>")
    configure, build = KINDS[kind]
    config = configure(
        vocab_size=len(words),
        decoder_hidden_size=16,
        num_decoder_layers=1,
        max_symbols_per_step=3,
        encoder_config={**SIZES, "subsampling_conv_channels": 8, "num_mel_bins": MELS, "initializer_range": 0.3},
        pad_token_id=words.pad_token_id,
        blank_token_id=blank,
    )
    model = build(config).eval()
    model.generation_config.decoder_start_token_id = blank
    lengths = range(len(words), len(words) + len(getattr(config, "durations", ())))
    model.generation_config.suppress_tokens = list(lengths) or None
    with torch.no_grad():
        model.joint.head.weight *= 4
        model.joint.head.bias[blank] += 4
        if lengths:  # a token of no length comes again and again, until there is no more room
            model.joint.head.bias[lengths[0]] -= 100
    model.save_pretrained(folder)
    processor(kind, words).save_pretrained(folder)
    return folder


def processor(kind: str, words: ParakeetTokenizer) -> Any:
    """What turns sound into the model's features and tokens into text."""
    if kind == "nemotron":
        return NemotronAsrStreamingProcessor(NemotronAsrStreamingFeatureExtractor(feature_size=MELS), words)
    return ParakeetProcessor(ParakeetFeatureExtractor(feature_size=MELS), words, decoder_type=kind.split("-")[1])
