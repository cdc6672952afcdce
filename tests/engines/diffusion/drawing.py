"""Asking the diffusion engine and diffusers for the same pictures, and comparing them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DiffusionPipeline,
)
from numpy.typing import NDArray
from PIL import Image

from gateway.config import ModelSpec
from gateway.engines.diffusion import Engine
from gateway.engines.image_encoding import encode
from gateway.errors import GatewayError
from gateway.tasks import TASKS

Pixels = NDArray[np.int16]
# Two passes over batches of different sizes differ in the last digits of their sums.
LEVELS = 2


def engine(files: Path, shape: str = "stable-diffusion", **fields: Any) -> Engine:
    task = TASKS.get("text-to-image", shape)
    row = {"dtype": "float32", "device": "cpu", "threads": 1} | fields
    return Engine(ModelSpec(name="@local/x", task=task.name, shape=shape, engine="diffusion", **row), task, files)


def parse(engine: Engine, document: dict[str, Any]) -> Any:
    form = {"multipart": {"body": document}} if engine.task.shape == "flux-2" else document
    task = engine.task
    # As the worker gets it: dumped by the gateway and validated again.
    return task.input.model_validate(task.parse(form).model_dump(exclude_unset=True))


def answers(engine: Engine, *documents: dict[str, Any]) -> list[Any]:
    """What each becomes when all are inside at once, in their order: a file's bytes, or an error."""
    for id, document in enumerate(documents):
        engine.admit(id, parse(engine, document))
    found: dict[int, Any] = {}
    while len(found) < len(documents):
        found |= {id: piece if isinstance(piece, GatewayError) else piece.data for id, piece in engine.step()}
    return [found[id] for id in range(len(documents))]


def pixels(image: bytes | Image.Image) -> Pixels:
    opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
    return np.asarray(opened.convert("RGB"), np.int16)


def assert_alike(found: bytes | Image.Image, expected: bytes | Image.Image, levels: int = LEVELS) -> None:
    assert pixels(found).std() > 10, "a plain picture would prove nothing"
    assert pixels(found).shape == pixels(expected).shape
    assert np.abs(pixels(found) - pixels(expected)).max() <= levels


def apart(found: bytes | Image.Image, expected: bytes | Image.Image) -> float:
    """The mean difference, in levels."""
    return float(np.abs(pixels(found) - pixels(expected)).mean())


def as_jpeg(image: Image.Image) -> bytes:
    """As JPEG changes a picture, and noise more than a photograph."""
    return encode(image, "JPEG")


def library(files: Path, kind: Any = DiffusionPipeline) -> Any:
    pipeline = kind.from_pretrained(files, safety_checker=None) if kind is not DiffusionPipeline else None
    pipeline = pipeline or DiffusionPipeline.from_pretrained(files)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def as_array(**images: bytes) -> dict[str, list[int]]:
    return {name: list(data) for name, data in images.items()}


def with_index(folder: Path, **entries: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | entries))
