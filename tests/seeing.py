"""Shows pictures to a vision-language checkpoint with transformers alone, for comparison."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    Gemma3Processor,
    Idefics3Processor,
    LlavaProcessor,
    MllamaProcessor,
)

from tests import tiny_seers

# Without dice, and yet not one token again and again, as random weights write.
VARIED = {"temperature": 0, "repetition_penalty": 1.9}
PROCESSORS = {
    "llava": LlavaProcessor,
    "idefics3": Idefics3Processor,
    "gemma3": Gemma3Processor,
    "mllama": MllamaProcessor,
}


def uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def shown(*parts: bytes | str, role: str = "user") -> dict[str, Any]:
    """A message of pictures and words."""
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": uri(part)}}
        for part in parts
    ]
    return {"role": role, "content": content}


def direct(kind: str, folder: Path, messages: list[dict[str, Any]], files: list[bytes], max_tokens: int) -> str:
    """What the library itself answers to `VARIED`."""
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in files]
    known = tiny_seers.KINDS[kind]
    tokenizer = known.tokenizer()
    tokenizer = type(tokenizer).from_pretrained(folder)
    plain = [
        {"role": message["role"], "content": [{**part, "type": part["type"].removesuffix("_url")} for part in parts]}
        for message in messages
        for parts in [message["content"]]
    ]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    if kind == "qwen2_5_vl":
        inputs = qwen_inputs(tokenizer, known.images, text, images)
    else:
        processor = PROCESSORS[kind](image_processor=known.images, tokenizer=tokenizer, **known.settings)
        inputs = processor(text=[text], images=[images], add_special_tokens=False, return_tensors="pt")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    penalty = VARIED["repetition_penalty"]
    output = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False, repetition_penalty=penalty)
    start = inputs["input_ids"].shape[1]
    return str(tokenizer.decode(output[0, start:], skip_special_tokens=True)).rstrip("\ufffd")


def qwen_inputs(tokenizer: Any, images: Any, text: str, pictures: list[Image.Image]) -> dict[str, Any]:
    """Placeholders as many as each picture has merged patches; the library's class needs torchvision for videos."""
    found = images(images=pictures, return_tensors="pt")
    before, *rest = text.split("<|image_pad|>")
    counts = (found["image_grid_thw"].prod(-1) // 4).tolist()
    spread = before + "".join("<|image_pad|>" * n + part for n, part in zip(counts, rest, strict=True))
    inputs = tokenizer(spread, add_special_tokens=False, return_tensors="pt")
    kinds = (inputs["input_ids"] == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
    return {**inputs, **found, "mm_token_type_ids": kinds}
