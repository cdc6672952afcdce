"""Makes a real GGUF with random weights, which OpenVINO reads, offline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tokenizers import pre_tokenizers

HIDDEN, HEADS, LAYERS, INNER, WINDOW = 64, 4, 2, 128, 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ('" :', '" ,', ', "', "Ġ t", "Ġ a", "h e", "i n", "r e", "o n", "Ġt he", '{ "', '" }', "t r", "tr u", "tru e")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Pack:
    """A kind of packed weights, and what makes their bytes [rows, bytes] of numbers."""

    kind: gguf.GGMLQuantizationType
    file_type: gguf.LlamaFileType
    store: Callable[[np.ndarray], np.ndarray]


def chat_gguf(file: Path, kv_heads: int = HEADS, hidden: int = HIDDEN, pack: Pack | None = None) -> Path:
    """A llama with a byte-level tokenizer, a few merges and three special tokens.

    A layer's matrices are stored as `pack` says, else in 16 bits.
    """
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(hidden)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * hidden)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(hidden // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if pack is None else pack.file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    types = [gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL))
    writer.add_token_types(types)
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, values in _tensors(len(tokens), kv_heads, hidden).items():
        if pack is not None and name.startswith("blk.") and values.ndim == 2:
            writer.add_tensor(name, pack.store(values), raw_dtype=pack.kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _tensors(vocabulary: int, kv_heads: int, hidden: int) -> dict[str, Any]:
    """Random weights by their names in a GGUF; matrices are [output, input]."""
    chance = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (chance.standard_normal((rows, columns)) * 0.2).astype(np.float16)

    found: dict[str, Any] = {"token_embd.weight": matrix(vocabulary, hidden)}
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        found |= {f"{block}{name}.weight": np.ones(hidden, dtype=np.float32) for name in ("attn_norm", "ffn_norm")}
        found |= {f"{block}{name}.weight": matrix(hidden, hidden) for name in ("attn_q", "attn_output")}
        found |= {f"{block}{name}.weight": matrix(hidden // HEADS * kv_heads, hidden) for name in ("attn_k", "attn_v")}
        found |= {f"{block}{name}.weight": matrix(2 * hidden, hidden) for name in ("ffn_gate", "ffn_up")}
        found[f"{block}ffn_down.weight"] = matrix(hidden, 2 * hidden)
    return found | {
        "output_norm.weight": np.ones(hidden, dtype=np.float32),
        "output.weight": matrix(vocabulary, hidden),
    }
