"""CenterFace finds the face on a photograph of one, at its place and in every size, and none where none is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from PIL import Image

from gateway.config import ConfigError, ModelSpec, Settings
from gateway.engines.centerface import Engine, _distinct
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.weights.progress import Silent
from gateway.weights.store import Store
from tests.engines.conftest import starter_files
from tests.tiny_vision import picture

TASK = TASKS.get("object-detection")
# A portrait of Grace Hopper, which matplotlib ships for its own examples: 512 x 600 pixels, one face.
PORTRAIT = "pypi:matplotlib==3.11.2/matplotlib/mpl-data/sample_data/grace_hopper.jpg"
FACE = {"xmin": 175, "ymin": 122, "xmax": 357, "ymax": 338}


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(name="@local/f", task=TASK.name, engine="centerface", **fields)


@pytest.fixture(scope="module")
def graph() -> Path:
    return starter_files("@local/centerface")


@pytest.fixture(scope="module")
def engine(graph: Path) -> Engine:
    return Engine(spec(), TASK, graph)


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    row = ModelSpec(name="portrait", task=TASK.name, engine="fake", source=PORTRAIT)
    return Image.open(Store(Settings().home).pull(row, Silent()))


def file(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def faces(engine: Engine, image: Image.Image) -> list[dict[str, int]]:
    (output,) = engine.run([TASK.parse_raw(file(image))])
    assert {detection.label for detection in output.root} <= {"face"}
    return [detection.box.model_dump() for detection in output.root]


def test_the_face_is_where_it_is(engine: Engine, portrait: Image.Image) -> None:
    (box,) = faces(engine, portrait)
    assert box == pytest.approx(FACE, abs=12)


@pytest.mark.parametrize("scale", [0.2, 0.5, 3.0])
def test_its_place_is_in_pixels_of_the_image_that_was_sent(engine: Engine, portrait: Image.Image, scale: float) -> None:
    (box,) = faces(engine, portrait.resize([round(side * scale) for side in portrait.size]))
    assert box == pytest.approx({name: value * scale for name, value in FACE.items()}, abs=12 * max(1, scale))


def test_two_faces_are_two(engine: Engine, portrait: Image.Image) -> None:
    pair = Image.new("RGB", (1024, 600))
    pair.paste(portrait, (0, 0))
    pair.paste(portrait, (512, 0))
    left, right = sorted(faces(engine, pair), key=lambda box: box["xmin"])
    assert right["xmin"] - left["xmin"] == pytest.approx(512, abs=12)


def test_a_face_at_the_edge_is_clipped_to_the_image(engine: Engine, portrait: Image.Image) -> None:
    (box,) = faces(engine, portrait.crop((0, 150, 300, 600)))
    assert 0 <= box["xmin"] < box["xmax"] <= 300
    assert 0 <= box["ymin"] < box["ymax"] <= 450


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_a_temple_and_a_flower_have_none(engine: Engine, name: str) -> None:
    assert faces(engine, Image.open(Path(sklearn.__file__).parent / "datasets" / "images" / name)) == []


def test_a_bad_image_spares_its_neighbours(engine: Engine, portrait: Image.Image) -> None:
    torn = file(portrait)[:20_000]
    good, bad, none = engine.run([TASK.parse_raw(data) for data in (file(portrait), torn, picture(5, 5, 0))])
    assert len(good.root) == 1
    assert isinstance(bad, BadInput)
    assert none.root == []


def test_a_threshold_is_exceeded(graph: Path, portrait: Image.Image) -> None:
    assert faces(Engine(spec(options={"threshold": 0.99}), TASK, graph), portrait) == []


def test_of_overlapping_boxes_the_surest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [9, 9, 19, 19], [50, 50, 60, 60]], np.float32)
    assert _distinct(boxes, np.array([0.6, 0.9, 0.7, 0.8], np.float32)) == [1, 3, 2]
    assert _distinct(boxes[:0], np.zeros(0, np.float32)) == []


def test_another_graph_is_refused(tmp_path: Path, graph: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"x\.onnx is not an ONNX graph"):
        Engine(spec(), TASK, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="not on cuda:0"):
        Engine(spec(device="cuda:0"), TASK, graph)
