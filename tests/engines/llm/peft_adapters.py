"""Makes LoRA adapters with random numbers as peft writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GgufConfig


def adapter(base: Path, folder: Path, seed: int, **settings: Any) -> Path:
    """In `folder`, for the model of the folder or GGUF file `base`."""
    torch.manual_seed(seed)
    config = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj", "up_proj"], "lora_alpha": 16} | settings)
    config.init_lora_weights = False
    get_peft_model(read_base(base), config).save_pretrained(folder, save_embedding_layers=False)
    return folder


def read_base(base: Path) -> Any:
    if base.suffix != ".gguf":
        return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(
        base.parent, gguf_file=base.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )


def sources(folders: Mapping[str, Path]) -> dict[str, str]:
    """As a row names them."""
    return {name: f"file:{folder}" for name, folder in folders.items()}
