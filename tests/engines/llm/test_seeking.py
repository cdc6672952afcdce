"""A model that sees and a detector beside it: each request gets its own, and who leaves is not searched for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm import Engine
from gateway.errors import BadInput, GatewayError
from gateway.tasks import TASKS, Piece
from tests import tiny_places, tiny_seers
from tests.tiny_vision import picture

TASK = TASKS.get("image-to-text", "moondream")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_seers.seer(tmp_path_factory.mktemp("seeing") / "model")
    tiny_places.detector(folder / "owl")
    return folder


def engine(files: Path, **options: Any) -> Engine:
    row = ModelSpec(
        name="@local/x", task=TASK.name, engine="llm", shape="moondream", device="cpu", dtype="float32", options=options
    )
    return Engine(row, TASK, files)


def asked(skill: str, data: bytes) -> Any:
    image = base64.b64encode(data).decode()
    return TASK.parse({"task": skill, "image": image, "target": "a cat", "max_tokens": 3, "temperature": 0})


def run(engine: Engine, ids: set[int]) -> dict[int, list[Piece | GatewayError]]:
    """What each stream got until all were over."""
    gained: dict[int, list[Piece | GatewayError]] = {id: [] for id in ids}
    while ids:
        for id, piece in engine.step():
            gained[id].append(piece)
            if isinstance(piece, GatewayError) or piece.is_last:
                ids.discard(id)
    return gained


def test_searches_and_words_are_answered_side_by_side_and_a_bad_picture_spares_them(files: Path) -> None:
    loaded = engine(files, places="owl", places_threshold=0.01)
    loaded.admit(1, asked("detect", picture(60, 40)))
    loaded.admit(2, asked("caption", picture(60, 40)))
    loaded.admit(3, asked("detect", picture(60, 40)[:-60]))
    loaded.admit(4, asked("detect", picture(60, 40, 1)))
    gained = run(loaded, {1, 2, 3, 4})
    (first,), (damaged,), (other,) = gained[1], gained[3], gained[4]
    assert isinstance(damaged, BadInput)
    assert isinstance(first, Piece)
    assert isinstance(other, Piece)
    assert first.extra["places"]
    assert first.extra["places"] != other.extra["places"]
    assert "".join(piece.text for piece in gained[2] if isinstance(piece, Piece))


def test_a_search_whose_caller_has_left_is_not_carried_out(files: Path) -> None:
    loaded = engine(files, places="owl")
    loaded.admit(1, asked("point", picture(60, 40)))
    loaded.admit(2, asked("point", picture(60, 40)))
    assert loaded.drop(1) is None
    assert set(run(loaded, {2})) == {2}
    assert loaded.step() == []


def test_a_row_without_a_detector_refuses_searches_before_any_work(files: Path) -> None:
    with pytest.raises(BadInput, match="'/task': this model answers query and caption, not detect"):
        engine(files).admit(1, asked("detect", picture(60, 40)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"places": "none"}, r"options\.places: no folder of that name"),
        ({"places": "../owl"}, "places"),
        ({"places": "owl", "places_threshold": 1}, "places_threshold"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_option(files: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        engine(files, **options)
