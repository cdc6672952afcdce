"""Encoders called directly, in their libraries' own batches, with the number type and threads of the row."""

from __future__ import annotations

import base64
import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from sentence_transformers import CrossEncoder
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from gateway.config import ModelSpec
from gateway.engines.precision import Precision, choose, use_threads
from scripts.benchmarks.references.peer import quiet_stdout, serve

BATCH = 32
DETECTION_BATCH = 4
Work = Callable[[list[Any]], list[float]]


def _batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _classification(files: str, precision: Precision) -> Work:
    tokenizer = AutoTokenizer.from_pretrained(files)
    model = AutoModelForSequenceClassification.from_pretrained(files, dtype=precision.torch_dtype).eval()

    def work(texts: list[Any]) -> list[float]:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        scores = [0.0] * len(texts)
        for batch in _batches(order, BATCH):
            encoded = tokenizer([texts[i] for i in batch], padding=True, truncation=True, return_tensors="pt")
            for index, row in zip(batch, model(**encoded).logits.float().softmax(-1), strict=True):
                scores[index] = float(row[0])
        return scores

    return work


def _reranking(files: str, precision: Precision) -> Work:
    model = CrossEncoder(files, device="cpu", model_kwargs={"dtype": precision.torch_dtype})

    def work(requests: list[Any]) -> list[float]:
        pairs = [(request["query"], context["text"]) for request in requests for context in request["contexts"]]
        return [float(score) for score in model.predict(pairs, batch_size=BATCH, show_progress_bar=False)]

    return work


def _picture(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def _pictures(kind: Any, run: Callable[[Any, Any], torch.Tensor], size: int) -> Callable[[str, Precision], Work]:
    def load(files: str, precision: Precision) -> Work:
        processor = AutoImageProcessor.from_pretrained(files, use_fast=False)
        model = kind.from_pretrained(files, dtype=precision.torch_dtype).eval()

        def work(texts: list[Any]) -> list[float]:
            scores: list[float] = []
            for batch in _batches(texts, size):
                pixels = processor(images=[_picture(text) for text in batch], return_tensors="pt")
                pixels["pixel_values"] = pixels["pixel_values"].to(model.dtype)
                scores += [float(value) for value in run(model, pixels)]
            return scores

        return work

    return load


def _best_class(model: Any, pixels: Any) -> torch.Tensor:
    best: torch.Tensor = model(**pixels).logits.float().softmax(-1).amax(-1)
    return best


def _best_box(model: Any, pixels: Any) -> torch.Tensor:
    best: torch.Tensor = model(**pixels).logits.float().softmax(-1)[..., :-1].amax((-1, -2))
    return best


def _vectors(model: Any, pixels: Any) -> torch.Tensor:
    features = model.get_image_features(pixel_values=pixels["pixel_values"])
    features = features if isinstance(features, torch.Tensor) else features.pooler_output
    return torch.nn.functional.normalize(features.float(), dim=-1)[:, 0]


KINDS: dict[str, Callable[[str, Precision], Work]] = {
    "text-classification": _classification,
    "reranking": _reranking,
    "image-classification": _pictures(AutoModelForImageClassification, _best_class, BATCH),
    "object-detection": _pictures(AutoModelForObjectDetection, _best_box, DETECTION_BATCH),
    "multimodal-embeddings": _pictures(AutoModel, _vectors, BATCH),
}


def main(kind: str, row: str, files: str) -> None:
    """Answer the `inputs` of each job with one number each, to see that both sides did the same."""
    lines = quiet_stdout()
    spec = ModelSpec.model_validate_json(row)
    threads, precision = use_threads(spec), choose(spec)
    answer = KINDS[kind](files, precision)

    @torch.inference_mode()
    def work(job: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        scores = answer(job["inputs"])
        return {"seconds": time.perf_counter() - started, "scores": scores}

    serve({"dtype": precision.dtype, "threads": threads}, work, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
