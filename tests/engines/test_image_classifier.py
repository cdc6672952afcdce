"""The image classifier gives what transformers gives, whatever the batch around an image and the state of others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from gateway.config import ConfigError, ModelSpec
from gateway.engines.image_classifier import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from tests import tiny, tiny_vision
from tests.tiny_vision import LABELS, picture

TASK = TASKS.get("image-classification")
SIZES = [(50, 40), (40, 50), (32, 32), (200, 30), (31, 333), (1, 1), (50, 40)]
PICTURES = [picture(*size, seed) for seed, size in enumerate(SIZES)]


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="image_classifier", **fields), TASK, files)


def classify(engine: Engine, pictures: list[bytes]) -> list[list[tuple[str, float]]]:
    outputs = engine.run([TASK.parse_raw(data) for data in pictures])
    return [[(label.label, label.score) for label in output.root] for output in outputs]


def direct(files: Path, data: bytes) -> list[tuple[str, float]]:
    """The library on one picture."""
    model = AutoModelForImageClassification.from_pretrained(files).eval()
    processor = AutoImageProcessor.from_pretrained(files, backend="pil")
    with torch.inference_mode(), Image.open(io.BytesIO(data)) as image:
        logits = model(**processor(images=image.convert("RGB"), return_tensors="pt")).logits[0]
    multi = model.config.problem_type == "multi_label_classification"
    scores = (logits.sigmoid() if multi else logits.softmax(-1)).tolist()
    return sorted(zip(LABELS, scores, strict=True), key=lambda pair: -pair[1])[:5]


def assert_same(found: list[tuple[str, float]], expected: list[tuple[str, float]], tolerance: float = 1e-5) -> None:
    assert [label for label, _ in found] == [label for label, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=tolerance)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.image_classifier(tmp_path_factory.mktemp("classifier") / "model")


@pytest.mark.parametrize("kind", ["resnet", "vit"])
@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_labels_and_scores_equal_the_librarys(kind: str, problem: str | None, tmp_path: Path) -> None:
    files = tiny_vision.image_classifier(tmp_path / "model", kind, problem_type=problem)
    together = classify(engine(files), PICTURES)
    for found, data in zip(together, PICTURES, strict=True):
        assert_same(found, direct(files, data))
    assert len({tuple(label for label, _ in found) for found in together}) > 1, "the pictures must differ in answer"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 5e-2)])
def test_a_batch_of_one_equals_a_batch_of_many(folder: Path, dtype: str, tolerance: float) -> None:
    loaded = engine(folder, dtype=dtype)
    together = [dict(found) for found in classify(loaded, PICTURES * 5)]
    alone = [dict(classify(loaded, [data])[0]) for data in PICTURES] * 5
    for found, expected in zip(together, alone, strict=True):
        for label in found.keys() & expected.keys():
            assert found[label] == pytest.approx(expected[label], abs=tolerance)


def test_a_damaged_image_spares_the_others(folder: Path) -> None:
    loaded = engine(folder)
    inputs = [TASK.parse_raw(data) for data in (PICTURES[0], PICTURES[1][:-60], PICTURES[2])]
    first, damaged, last = loaded.run(inputs)
    assert isinstance(damaged, BadInput)
    assert damaged.detail == "'/image': a damaged image, which cannot be decoded"
    for output, data in ((first, PICTURES[0]), (last, PICTURES[2])):
        assert_same([(label.label, label.score) for label in output.root], direct(folder, data))


def test_a_model_of_few_labels_gives_them_all(tmp_path: Path) -> None:
    names = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
    files = tiny_vision.image_classifier(tmp_path / "model", labels=names)
    (answer,) = classify(engine(files), PICTURES[:1])
    assert sorted(label for label, _ in answer) == ["no", "yes"]
    assert sum(score for _, score in answer) == pytest.approx(1, abs=1e-5)


def test_the_rows_own_bound_on_pixels_counts(folder: Path) -> None:
    loaded = engine(folder, options={"max_pixels": 1999})
    fine, refused = loaded.run([TASK.parse_raw(data) for data in (PICTURES[2], PICTURES[0])])
    assert not isinstance(fine, BadInput)
    assert refused.detail == "'/image': an image of 50 x 40 pixels; the most is 1999 pixels"


@pytest.mark.parametrize("options", [{"max_pixels": 64_000_001}, {"max_pixels": 0}, {"top": 3}])
def test_an_unfit_option_is_named(folder: Path, options: dict[str, int]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=rf"row @local/x: options\.{name}: "):
        engine(folder, options=options)


def test_weights_without_a_head_are_refused_rather_than_guessed(tmp_path: Path) -> None:
    files = tiny_vision.image_classifier(tmp_path / "model")
    tiny.behead(files, "classifier")
    with pytest.raises(ConfigError, match=r"the weights do not fit the model: classifier\.1\.bias is missing \(2 in"):
        engine(files)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    files = tiny_vision.image_classifier(tmp_path / "model")
    torch.save(load_file(files / "model.safetensors"), files / "pytorch_model.bin")
    (files / "model.safetensors").unlink()
    with pytest.raises(OSError, match="safetensors"):
        engine(files)
