"""The object detector gives what transformers' pipeline gives, in pixels of the upright image."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForObjectDetection, pipeline

from gateway.config import ConfigError, ModelSpec
from gateway.engines.object_detector import Engine
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.object_detection import ObjectDetectionOutput
from tests import tiny_vision
from tests.tiny_vision import picture

TASK = TASKS.get("object-detection")
KINDS = ["detr", "rt_detr", "d_fine", "yolos"]
SIZES = [(60, 40), (40, 60), (120, 80), (150, 30), (60, 40), (5, 5)]
PICTURES = [picture(*size, seed) for seed, size in enumerate(SIZES)]


def engine(files: Path, threshold: float = 0.1, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu", "options": {"threshold": threshold}} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="object_detector", **fields), TASK, files)


def found_on(engine: Engine, *pictures: bytes) -> list[list[dict[str, Any]]]:
    outputs = engine.run([TASK.parse_raw(data) for data in pictures])
    return [[detection.model_dump() for detection in output.root] for output in outputs]


def by_place(detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In an order that does not depend on the last digits of scores."""
    return sorted(detections, key=lambda found: (found["label"], *found["box"].values(), round(found["score"], 4)))


def clipped(box: dict[str, int], width: int, height: int) -> dict[str, int]:
    return {name: max(0, min(value, width if name[0] == "x" else height)) for name, value in box.items()}


def direct(files: Path, data: bytes, threshold: float = 0.1) -> list[dict[str, Any]]:
    """transformers' own pipeline on one picture."""
    detect = pipeline(
        "object-detection",
        model=AutoModelForObjectDetection.from_pretrained(files),
        image_processor=AutoImageProcessor.from_pretrained(files, backend="pil"),
        device="cpu",
    )
    image = Image.open(io.BytesIO(data))
    return [found | {"box": clipped(found["box"], *image.size)} for found in detect(image, threshold=threshold)]


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(by_place(found), by_place(expected), strict=True):
        assert (one["label"], one["box"]) == (other["label"], other["box"])
        assert one["score"] == pytest.approx(other["score"], abs=5e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.object_detector(tmp_path_factory.mktemp("detector") / "model")


@pytest.mark.parametrize("kind", KINDS)
def test_objects_equal_the_librarys_alone_and_among_others(kind: str, tmp_path: Path) -> None:
    files = tiny_vision.object_detector(tmp_path / "model", kind)
    loaded = engine(files)
    together = found_on(loaded, *PICTURES)
    assert any(together), "an empty answer would prove nothing"
    for data, found in zip(PICTURES, together, strict=True):
        expected = direct(files, data)
        assert_same(found, expected)
        assert_same(found_on(loaded, data)[0], expected)


def test_the_surest_come_first_and_none_below_the_threshold(folder: Path) -> None:
    everything = found_on(engine(folder, 0.0), PICTURES[0])[0]
    scores = [found["score"] for found in everything]
    assert scores == sorted(scores, reverse=True)
    bound = scores[len(scores) // 2]
    kept = found_on(engine(folder, bound), PICTURES[0])[0]
    assert [found["score"] for found in kept] == [score for score in scores if score > bound]


def test_the_threshold_is_the_pipelines_if_the_row_says_none(folder: Path) -> None:
    assert_same(found_on(engine(folder, options={}), PICTURES[0])[0], direct(folder, PICTURES[0], 0.5))


def test_boxes_are_those_of_the_upright_image(folder: Path) -> None:
    upright = Image.open(io.BytesIO(PICTURES[0]))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    turned = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    as_sent, as_meant = found_on(engine(folder), turned.getvalue(), PICTURES[0])
    assert as_sent
    assert as_sent == as_meant


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_stay_within_the_image(kind: str, tmp_path: Path) -> None:
    loaded = engine(tiny_vision.object_detector(tmp_path / "model", kind), 0.0)
    for (width, height), found in zip(SIZES, found_on(loaded, *PICTURES), strict=True):
        for box in (one["box"] for one in found):
            assert 0 <= box["xmin"] <= width
            assert 0 <= box["xmax"] <= width
            assert 0 <= box["ymin"] <= height
            assert 0 <= box["ymax"] <= height


def test_a_damaged_image_spares_the_others(folder: Path) -> None:
    loaded = engine(folder)
    first, damaged, last = loaded.run([TASK.parse_raw(d) for d in (PICTURES[0], PICTURES[1][:-60], PICTURES[2])])
    assert isinstance(damaged, BadInput)
    for output, data in ((first, PICTURES[0]), (last, PICTURES[2])):
        assert isinstance(output, ObjectDetectionOutput)
        assert_same([found.model_dump() for found in output.root], direct(folder, data))


def as_timm_names_it(name: str) -> str:
    """The inverse of what the engine does, written down from timm's side."""
    for ours, theirs in (
        (r"embedder\.embedder\.convolution", "conv1"),
        (r"embedder\.embedder\.normalization", "bn1"),
        (r"encoder\.stages\.0\.layers", "layer1"),
        (r"encoder\.stages\.1\.layers", "layer2"),
        (r"encoder\.stages\.2\.layers", "layer3"),
        (r"encoder\.stages\.3\.layers", "layer4"),
        (r"shortcut\.convolution", "downsample.0"),
        (r"shortcut\.normalization", "downsample.1"),
        (r"layer\.0\.convolution", "conv1"),
        (r"layer\.1\.convolution", "conv2"),
        (r"layer\.2\.convolution", "conv3"),
        (r"layer\.0\.normalization", "bn1"),
        (r"layer\.1\.normalization", "bn2"),
        (r"layer\.2\.normalization", "bn3"),
    ):
        name = re.sub(rf"(backbone\.conv_encoder\.model\.(?:.*\.)?){ours}", rf"\g<1>{theirs}", name)
    return name


def to_timm(source: Path, folder: Path, backbone: str = "resnet50") -> Path:
    """A copy in the form of the published DETR: the backbone by its name alone, its tensors under timm's names."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["backbone_config"]
    config |= {"backbone": backbone, "use_timm_backbone": True, "use_pretrained_backbone": True}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {as_timm_names_it(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_published_detr_with_a_timm_backbone_needs_no_timm(tmp_path: Path) -> None:
    ours = tiny_vision.object_detector(tmp_path / "ours", stages={})
    theirs = to_timm(ours, tmp_path / "theirs")
    names = load_file(theirs / "model.safetensors").keys()
    assert {
        "model.backbone.conv_encoder.model.conv1.weight",
        "model.backbone.conv_encoder.model.bn1.running_var",
        "model.backbone.conv_encoder.model.layer3.5.conv3.weight",
        "model.backbone.conv_encoder.model.layer2.0.downsample.0.weight",
        "model.backbone.conv_encoder.model.layer4.2.bn2.bias",
    } <= names
    for found, data in zip(found_on(engine(theirs), *PICTURES[:3]), PICTURES[:3], strict=True):
        assert_same(found, direct(ours, data))


def test_a_backbone_that_needs_timm_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its backbone convnext_tiny needs timm, which is not supported"):
        engine(to_timm(folder, tmp_path / "theirs", "convnext_tiny"))


def test_bfloat16_is_refused_because_it_misplaces_boxes(folder: Path) -> None:
    with pytest.raises(ConfigError, match="bfloat16 is not one of float32, float16"):
        engine(folder, dtype="bfloat16")
