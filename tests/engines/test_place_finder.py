"""Places equal the library's own, as parts of the upright picture, and what cannot be looked for is refused by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForZeroShotObjectDetection,
    AutoTokenizer,
    GroundingDinoProcessor,
    Owlv2Processor,
    OwlViTProcessor,
)

from gateway.config import ConfigError, ModelSpec
from gateway.engines.place_finder import PlaceFinder
from gateway.errors import BadInput
from gateway.tasks.places import Region, Search
from tests import tiny_places, tiny_vision
from tests.tiny_vision import picture

ROW = ModelSpec(name="@local/finder", task="image-to-text", engine="llm", device="cpu", dtype="bfloat16")
PROCESSORS = {"owlv2": Owlv2Processor, "owlvit": OwlViTProcessor, "grounding-dino": GroundingDinoProcessor}
LOW = 0.01


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("places")
    return cache(lambda kind: tiny_places.detector(root / kind, kind))


def library(files: Path, kind: str, data: bytes, target: str, threshold: float) -> list[list[float]]:
    """What transformers finds, in pixels, the surest first."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    processor: Any = PROCESSORS[kind](
        AutoImageProcessor.from_pretrained(files, backend="pil"), AutoTokenizer.from_pretrained(files)
    )
    inputs = processor(images=image, text=[[target]], return_tensors="pt")
    with torch.inference_mode():
        outputs = AutoModelForZeroShotObjectDetection.from_pretrained(files)(**inputs)
    sizes = [(image.height, image.width)]
    (found,) = processor.post_process_grounded_object_detection(outputs, threshold=threshold, target_sizes=sizes)
    order = found["scores"].argsort(descending=True)
    boxes: list[list[float]] = found["boxes"][order].tolist()
    return boxes


def corners(places: list[Region], width: int, height: int) -> list[tuple[float, ...]]:
    return [(p.x_min * width, p.y_min * height, p.x_max * width, p.y_max * height) for p in places]


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("size", [(60, 40), (40, 70)])
def test_places_equal_the_librarys(folder: Callable[[str], Path], kind: str, size: tuple[int, int]) -> None:
    finder = PlaceFinder(ROW, folder(kind), LOW)
    for seed, target in enumerate(("a cat", "zoo")):
        data = picture(*size, seed)
        expected = library(folder(kind), kind, data, target, LOW)
        clipped = [
            tuple(min(max(corner, 0), side) for corner, side in zip(box, size * 2, strict=True)) for box in expected
        ]
        within = [box for box in clipped if box[0] < box[2] and box[1] < box[3]]
        found = corners(finder.find(Search("detect", data, target, 500)), *size)
        assert len(found) == len(within) > 1
        for one, other in zip(found, within, strict=True):
            assert one == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("kind", ["owlv2", "grounding-dino"])
def test_the_words_and_the_picture_make_the_difference(folder: Callable[[str], Path], kind: str) -> None:
    finder = PlaceFinder(ROW, folder(kind), LOW)

    def found(seed: int, target: str) -> list[Region]:
        return finder.find(Search("detect", picture(60, 40, seed), target, 500))

    assert found(0, "a cat") != found(1, "a cat")
    assert found(0, "a cat") != found(0, "zoo")
    assert found(0, "a cat")[:2] == finder.find(Search("detect", picture(60, 40, 0), "a cat", 2))


def test_nothing_is_found_that_does_not_exceed_the_threshold(folder: Callable[[str], Path]) -> None:
    assert PlaceFinder(ROW, folder("owlv2"), 0.999).find(Search("point", picture(60, 40), "a cat", 500)) == []


def test_places_are_those_of_the_upright_picture(folder: Callable[[str], Path]) -> None:
    upright = Image.open(io.BytesIO(picture(60, 40)))
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    finder = PlaceFinder(ROW, folder("owlv2"), LOW)
    assert finder.find(Search("detect", turned.getvalue(), "a cat", 9)) == finder.find(
        Search("detect", picture(60, 40), "a cat", 9)
    )


@pytest.mark.parametrize(("kind", "window"), [("owlv2", tiny_places.WINDOW), ("grounding-dino", 32)])
def test_more_words_than_the_model_reads_are_refused(folder: Callable[[str], Path], kind: str, window: int) -> None:
    finder = PlaceFinder(ROW, folder(kind))
    assert finder.tokens("cat") <= window
    with pytest.raises(BadInput) as caught:
        finder.tokens("a " * 40)
    assert caught.value.detail.endswith(f"tokens; this model reads at most {window}")
    assert caught.value.detail.startswith("'/target': ")


def test_a_damaged_picture_is_refused(folder: Callable[[str], Path]) -> None:
    with pytest.raises(BadInput, match="'/image': a damaged image"):
        PlaceFinder(ROW, folder("owlv2")).find(Search("point", picture(60, 40)[:-60], "a cat", 9))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"options\.places: detr is not one of owlvit, owlv2, grounding-dino"):
        PlaceFinder(ROW, tiny_vision.object_detector(tmp_path / "detr"))
    with pytest.raises(ConfigError, match=r"options\.places: no folder of that name"):
        PlaceFinder(ROW, tmp_path / "none")
