"""Makes a Llama of a given size with random weights, and generates with it by transformers' plain `generate`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from scripts.benchmarks.references.peer import quiet_stdout, serve

SIZES: dict[str, dict[str, int]] = {
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
    },
}
# Their kernels are the same for any words; a timed one is enough to know the device's bandwidth.
COPY_BYTES, COPIES = 1 << 28, 20


def make(folder: Path, size: str, device: str) -> None:
    """A checkpoint whose tokens are bytes, in bfloat16."""
    torch.manual_seed(0)
    config = LlamaConfig(**SIZES[size], max_position_embeddings=8192, bos_token_id=256, eos_token_id=257)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = {name: id for id, name in enumerate([*alphabet, "<s>", "</s>"])}
    backend = Tokenizer(models.BPE(names, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


def bandwidth(device: str) -> float:
    """Bytes a second that the device reads and writes when it copies."""
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    _wait(device)
    started = time.perf_counter()
    for _ in range(COPIES):
        target.copy_(source)
    _wait(device)
    return 2 * COPY_BYTES * COPIES / (time.perf_counter() - started)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main(folder: str, size: str, device: str) -> None:
    """Make the checkpoint, then generate `tokens` for `streams` prompts of `prompt` tokens each, as jobs ask."""
    lines = quiet_stdout()
    make(Path(folder), size, device)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device).eval()
    weights_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    config = json.loads(model.config.to_json_string())
    about = {"bandwidth": bandwidth(device), "weights_bytes": weights_bytes, "config": config}

    @torch.inference_mode()
    def work(job: dict[str, Any]) -> dict[str, Any]:
        ids = torch.randint(0, 256, (job["streams"], job["prompt"]), device=device)
        started = time.perf_counter()
        model.generate(ids, max_new_tokens=job["tokens"], min_new_tokens=job["tokens"], do_sample=False, pad_token_id=0)
        _wait(device)
        return {"seconds": time.perf_counter() - started}

    serve(about, work, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
