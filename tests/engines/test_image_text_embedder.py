"""Vectors of images and texts equal those of transformers, alone and among others, in one space."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from gateway.config import ModelSpec
from gateway.engines.image_text_embedder import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from tests import tiny, tiny_vision
from tests.tiny_vision import picture

TASK = TASKS.get("multimodal-embeddings")
KINDS = ["clip", "siglip"]
TEXTS = ["a", "some more words", "b " * 100, "日本", "zebra"]
PICTURES = [picture(50 + 20 * seed, 40, seed) for seed in range(4)]


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="image_text_embedder", **fields), TASK, files)


def ask(image: bytes | None = None, text: list[str] | None = None) -> Any:
    return TASK.parse({"image": image and base64.b64encode(image).decode(), "text": text})


def direct(files: Path, image: bytes, texts: list[str]) -> np.ndarray:
    """What the library's own forward pass calls `image_embeds` and `text_embeds`."""
    model, tokenizer = AutoModel.from_pretrained(files).eval(), AutoTokenizer.from_pretrained(files)
    processor = AutoImageProcessor.from_pretrained(files, backend="pil")
    padding = "max_length" if model.config.model_type == "siglip" else True
    inputs = tokenizer(texts, padding=padding, truncation=True, max_length=tiny.WINDOW, return_tensors="pt")
    if model.config.model_type == "siglip":
        del inputs["attention_mask"]
    with torch.inference_mode():
        pixels = processor(images=Image.open(io.BytesIO(image)), return_tensors="pt")
        outputs = model(input_ids=inputs.pop("input_ids"), **pixels, **inputs)
    return np.concatenate([outputs.image_embeds.numpy(), outputs.text_embeds.numpy()])


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.image_text_embedder(tmp_path_factory.mktemp("embedder") / "model", request.param)


def test_vectors_equal_the_librarys_alone_and_among_others(folder: Path) -> None:
    loaded = engine(folder)
    inputs = [
        ask(PICTURES[0], TEXTS),
        ask(text=TEXTS[:2]),
        ask(PICTURES[1]),
        ask(PICTURES[2], TEXTS[3:]),
        ask(text=["x"]),
    ]
    expected = [
        direct(folder, PICTURES[0], TEXTS),
        direct(folder, PICTURES[0], TEXTS[:2])[1:],
        direct(folder, PICTURES[1], ["x"])[:1],
        direct(folder, PICTURES[2], TEXTS[3:]),
        direct(folder, PICTURES[0], ["x"])[1:],
    ]
    for input, output, wanted in zip(inputs, loaded.run(inputs), expected, strict=True):
        assert output.shape == list(wanted.shape)
        np.testing.assert_allclose(output.data, wanted, atol=1e-5)
        np.testing.assert_allclose(loaded.run([input])[0].data, wanted, atol=1e-5)


def test_different_images_and_texts_have_different_vectors_of_length_one(folder: Path) -> None:
    loaded = engine(folder)
    rows = np.concatenate([output.data for output in loaded.run([ask(data, ["cat", "dog"]) for data in PICTURES[:2]])])
    similarity = rows @ rows.T
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-5)
    assert similarity[0, 3] < 0.99
    assert similarity[1, 2] < 0.999


def test_the_answer_is_json_of_the_contracts_shape(folder: Path) -> None:
    (output,) = engine(folder).run([ask(PICTURES[0], ["x"])])
    answer = TASK.encode(output).body
    assert answer.startswith(b'{"data":[[')
    assert answer.endswith(b'"shape":[2,%d]}' % output.shape[1])


def test_a_damaged_image_spares_the_others(folder: Path) -> None:
    loaded = engine(folder)
    first, damaged, last = loaded.run([ask(PICTURES[0], ["x"]), ask(PICTURES[1][:-60], ["y", "z"]), ask(text=["x"])])
    assert isinstance(damaged, BadInput)
    np.testing.assert_allclose(first.data, direct(folder, PICTURES[0], ["x"]), atol=1e-5)
    np.testing.assert_allclose(first.data[1], last.data[0], atol=1e-5)
