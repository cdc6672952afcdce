"""Makes real vision-language checkpoints with random weights, small enough for a test, offline."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    Gemma3ImageProcessorPil,
    Idefics3ImageProcessorPil,
    MllamaImageProcessorPil,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessorPil,
)

from tests import tiny

WINDOW = 512
TEMPLATE = """{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>' }}\
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{% if part.type == 'image' %}{{ 'IMAGE' }}{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}\
{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""
# What llava's own template does: of a text that is not in parts, nothing is left.
PARTS_ONLY = """{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>' }}\
{% for part in message.content | selectattr('type', 'equalto', 'image') %}{{ 'IMAGE' }}{% endfor %}\
{% for part in message.content | selectattr('type', 'equalto', 'text') %}{{ part.text }}{% endfor %}\
{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""
_TEXT = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "initializer_range": 0.3}
_TEXT |= {"num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": WINDOW}
_TEXT |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_TOWER |= {"patch_size": 8, "image_size": 32, "initializer_range": 0.3}


@dataclass(frozen=True)
class Kind:
    """One family: its processor and settings, what its template writes for a picture, its own special tokens."""

    processor: str
    images: Any
    placeholder: str
    specials: tuple[str, ...]
    named: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    template: str = TEMPLATE

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """`tiny.byte_tokenizer` with the family's tokens and template."""
        tokenizer = tiny.byte_tokenizer()
        tokenizer.add_tokens(list(self.specials), special_tokens=True)
        tokenizer.chat_template = self.template.replace("IMAGE", self.placeholder)
        return tokenizer


KINDS = {
    "llava": Kind(
        "LlavaProcessor",
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        "<image>\n",
        ("<image>",),
        settings={"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        template=PARTS_ONLY,
    ),
    "qwen2_5_vl": Kind(
        "Qwen2_5_VLProcessor",
        Qwen2VLImageProcessorPil(patch_size=8, size={"shortest_edge": 16 * 16, "longest_edge": 48 * 48}),
        "<|vision_start|><|image_pad|><|vision_end|>",
        ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"),
    ),
    "idefics3": Kind(
        "Idefics3Processor",
        Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        "<image>",
        ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"),
        settings={"image_seq_len": 4},
    ),
    "gemma3": Kind(
        "Gemma3Processor",
        Gemma3ImageProcessorPil(size={"height": 32, "width": 32}),
        "<start_of_image>",
        ("<image_soft_token>", "<start_of_image>", "<end_of_image>"),
        named={"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        settings={"image_seq_length": 4},
    ),
    "mllama": Kind(
        "MllamaProcessor",
        MllamaImageProcessorPil(size={"height": 32, "width": 32}, max_image_tiles=4),
        "<|image|>",
        ("<|image|>", "<|python_tag|>"),
    ),
}


def _config(kind: str, tokenizer: PreTrainedTokenizerFast) -> Any:
    def id_of(token: str) -> int:
        id: int = tokenizer.convert_tokens_to_ids(token)
        return id

    text = {**_TEXT, "vocab_size": len(tokenizer)}
    match kind:
        case "llava":
            more: dict[str, Any] = {
                "vision_config": {"model_type": "clip_vision_model", **_TOWER, "projection_dim": 16}
            }
            more |= {"image_token_index": id_of("<image>"), "image_seq_length": 16, "vision_feature_layer": -1}
            text["model_type"] = "llama"
        case "qwen2_5_vl":
            tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "patch_size": 8}
            tower |= {"out_hidden_size": 32, "window_size": 32, "fullatt_block_indexes": [1], "initializer_range": 0.3}
            more = {"vision_config": tower, "image_token_id": id_of("<|image_pad|>")}
            more |= {"video_token_id": id_of("<|video_pad|>"), "vision_start_token_id": id_of("<|vision_start|>")}
            more |= {"vision_end_token_id": id_of("<|vision_end|>")}
            text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
        case "idefics3":
            more = {"vision_config": _TOWER, "image_token_id": id_of("<image>"), "scale_factor": 2}
            text["model_type"] = "llama"
        case "gemma3":
            more = {"vision_config": {"model_type": "siglip_vision_model", **_TOWER}, "mm_tokens_per_image": 4}
            # Tied, random embeddings would say the last token again, whatever there is to see.
            more |= {"tie_word_embeddings": False}
            more |= {f"{name}_token_index": id_of(tokenizer.init_kwargs[f"{name}_token"]) for name in ("boi", "eoi")}
            more |= {"image_token_index": id_of("<image_soft_token>")}
            text |= {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8, "tie_word_embeddings": False}
            text |= {"layer_types": ["sliding_attention", "full_attention"]}
        case _:
            tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1}
            tower |= {"attention_heads": 4, "image_size": 32, "patch_size": 8, "intermediate_layers_indices": [0, 1]}
            more = {"vision_config": {**tower, "vision_output_dim": 96, "initializer_range": 0.3}}
            more |= {"image_token_index": id_of("<|image|>")}
            text |= {"num_hidden_layers": 3, "cross_attention_layers": [1]}
            text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    return AutoConfig.for_model(kind, text_config=text, initializer_range=0.3, **more)


def seer(folder: Path, kind: str = "llava") -> Path:
    """A model of the family `kind` that takes pictures and text."""
    known = KINDS[kind]
    tokenizer = known.tokenizer()
    tokenizer.init_kwargs |= known.named
    torch.manual_seed(0)
    config = _config(kind, tokenizer)
    model = AutoModelForImageTextToText.from_config(config)
    for name, weights in model.named_parameters():
        # Both start with their eyes closed: Mllama and Gemma 3.
        if name.endswith("gate"):
            torch.nn.init.constant_(weights, 1.0)
        elif name.endswith("mm_input_projection_weight"):
            torch.nn.init.normal_(weights, 0, 0.3)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 2
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    known.images.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": known.processor, **known.settings}))
    return folder
