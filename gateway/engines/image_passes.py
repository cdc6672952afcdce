"""Prepares images in threads while the model runs, and lays them out in passes of one shape; knows no task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import Field
from transformers import AutoImageProcessor

from gateway.config import Frozen
from gateway.engines.images import decode
from gateway.errors import BadInput
from gateway.tasks.image import MAX_PIXELS
from gateway.tasks.image_header import Size

# On a CPU enough for a default batch at 224 x 224: smaller passes are slower in bfloat16.
PASS_PIXELS = {"cpu": 1 << 21, "cuda": 1 << 25}
MAX_THREADS = 8
T = TypeVar("T")


class ImageOptions(Frozen):
    """`max_pixels`: width times height of the largest image taken."""

    max_pixels: int = Field(MAX_PIXELS, gt=0, le=MAX_PIXELS)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a model is given at once: its keyword arguments, each (images, …), and the images' upright sizes."""

    inputs: dict[str, torch.Tensor]
    sizes: list[Size]


@dataclass(frozen=True, slots=True)
class _Prepared:
    index: int
    tensors: dict[str, torch.Tensor]
    size: Size

    @property
    def shape(self) -> torch.Size:
        return self.tensors["pixel_values"].shape


class ImagePasses:
    """Brings images to a model as its folder's image processor says, each exactly as if it came alone.

    Images that the processor leaves in different shapes never share a pass: padding would change what the model
    sees at their edges.
    """

    def __init__(self, files: Path, model: Any, threads: int, max_pixels: int = MAX_PIXELS) -> None:
        self._processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            files, backend="pil", local_files_only=True, trust_remote_code=False
        )
        self._device, self._dtype = model.device, model.dtype
        self._budget = PASS_PIXELS[self._device.type]
        self._max_pixels = max_pixels
        self._pool = ThreadPoolExecutor(min(threads, MAX_THREADS), "image")

    @property
    def processor(self) -> Any:
        """The folder's image processor, for what it does after the model."""
        return self._processor

    def answer(self, images: Sequence[bytes], run: Callable[[Pass], Sequence[T]]) -> list[T | BadInput]:
        """One answer per image, in order; `run` gives a pass's. What cannot be decoded has its `BadInput` instead."""
        answers: dict[int, T | BadInput] = {}
        groups: dict[torch.Size, list[_Prepared]] = {}
        for index, found in enumerate(self._pool.map(self._prepare, range(len(images)), images)):
            if isinstance(found, BadInput):
                answers[index] = found
                continue
            group = groups.setdefault(found.shape, [])
            group.append(found)
            if (len(group) + 1) * found.shape[-1] * found.shape[-2] > self._budget:
                answers |= self._run(groups.pop(found.shape), run)
        for group in groups.values():
            answers |= self._run(group, run)
        return [answers[index] for index in range(len(images))]

    def _prepare(self, index: int, data: bytes) -> _Prepared | BadInput:
        try:
            image = decode(data, self._max_pixels)
        except BadInput as error:
            return error
        prepared = self._processor(images=image, return_tensors="pt")
        return _Prepared(index, {name: tensor[0] for name, tensor in prepared.items()}, image.size)

    @torch.inference_mode()
    def _run(self, group: list[_Prepared], run: Callable[[Pass], Sequence[T]]) -> dict[int, T | BadInput]:
        inputs = {name: self._place([one.tensors[name] for one in group]) for name in group[0].tensors}
        found = run(Pass(inputs, [one.size for one in group]))
        return {one.index: answer for one, answer in zip(group, found, strict=True)}

    def _place(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        stacked = torch.stack(tensors)
        return stacked.to(self._device, self._dtype if stacked.is_floating_point() else None)
