"""Vectors of images and texts in one space, by a transformers folder (CLIP, SigLIP); knows no other task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoTokenizer

from gateway.config import ModelSpec
from gateway.engines.image_passes import ImageOptions, ImagePasses, Pass
from gateway.engines.options import read_options
from gateway.engines.passes import pad, pass_tokens, passes
from gateway.engines.pretrained import load_pretrained
from gateway.engines.token_ids import opening
from gateway.engines.torch_engine import TorchEngine
from gateway.errors import BadInput
from gateway.tasks import Task
from gateway.tasks.multimodal_embeddings import MultimodalEmbeddingsInput, MultimodalEmbeddingsOutput

# Trained on texts that were all padded to the window and without a mask, so they must be so here as well.
PADDED = ("siglip", "siglip2")
Vectors = npt.NDArray[np.float32]


class Engine(TorchEngine):
    """Vectors of length 1 for the image and the texts of each input, so that products of any two are cosines.

    An image that cannot be decoded spares the other inputs; text beyond the window does not count.
    """

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        options = read_options(ImageOptions, spec)
        self._model = load_pretrained(AutoModel, files, self.precision)
        self._passes = ImagePasses(files, self._model, self.threads, options.max_pixels)
        self._texts = _Texts(files, self._model, spec.context_window)

    def run(self, inputs: Sequence[MultimodalEmbeddingsInput]) -> Sequence[MultimodalEmbeddingsOutput | BadInput]:
        """Vectors of each input, that of the image first, or what is wrong with its image."""
        pictured = [index for index, input in enumerate(inputs) if input.image is not None]
        images = self._passes.answer([inputs[index].image or b"" for index in pictured], self._embed)
        image_of = dict(zip(pictured, images, strict=True))
        texts = self._texts.embed([text for input in inputs for text in input.text or ()])
        ends = itertools.accumulate((len(input.text or ()) for input in inputs), initial=0)
        return [
            _output(image_of.get(index), texts[start:end])
            for index, (start, end) in enumerate(itertools.pairwise(ends))
        ]

    def _embed(self, images: Pass) -> list[Vectors]:
        pixels = images.inputs["pixel_values"]
        return _unit(self._model.get_image_features(pixel_values=pixels).pooler_output)


class _Texts:
    """Tokenizes texts and runs the text half of a model."""

    def __init__(self, files: Path, model: Any, window: int | None) -> None:
        self._model = model
        self._tokenizer = AutoTokenizer.from_pretrained(files, local_files_only=True, trust_remote_code=False)
        positions = model.config.text_config.max_position_embeddings
        self._padded = model.config.model_type in PADDED
        self._window = positions if self._padded else min(window or positions, positions)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """A vector per text, in order."""
        out: list[tuple[int, Vectors]] = []
        rows = self._tokenize(texts)
        for group in passes([len(row) for row in rows], pass_tokens(self._model.device)):
            ids, mask = pad([rows[i] for i in group], self._tokenizer.pad_token_id or 0, self._model.device)
            inputs = {"input_ids": ids} | ({} if self._padded else {"attention_mask": mask.long()})
            out += zip(group, _unit(self._model.get_text_features(**inputs).pooler_output), strict=True)
        return [vector for _, vector in sorted(out, key=lambda row: row[0])]

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        read = [opening(self._tokenizer, text, self._window) for text in texts]
        padding = "max_length" if self._padded else False
        encoded = self._tokenizer(read, truncation=True, max_length=self._window, padding=padding)
        ids: list[list[int]] = encoded["input_ids"]
        return ids


def _unit(vectors: torch.Tensor) -> list[Vectors]:
    return list(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())


def _output(image: Vectors | BadInput | None, texts: Sequence[Vectors]) -> MultimodalEmbeddingsOutput | BadInput:
    if isinstance(image, BadInput):
        return image
    rows = [*([] if image is None else [image]), *texts]
    return MultimodalEmbeddingsOutput(data=np.stack(rows), shape=[len(rows), len(rows[0])])
