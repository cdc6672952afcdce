"""Whether a model's weights are here, asked of a real store."""

from __future__ import annotations

from pathlib import Path

from gateway.api.presence import Presence
from gateway.config import ModelSpec
from gateway.weights.shelf import Shelf
from gateway.weights.store import Store


def spec(name: str, source: str | None) -> ModelSpec:
    return ModelSpec(name=name, task="text-classification", engine="fake", source=source)


async def test_weights_count_as_soon_as_they_are_here_and_no_longer_than_that(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    presence = Presence(Store(tmp_path / "home"), [spec("m", f"file:{weights}")], fresh_s=0.0)
    assert await presence.names() == frozenset()
    weights.mkdir()
    assert await presence.names() == {"m"}
    weights.rmdir()
    assert await presence.names() == frozenset()


async def test_the_store_is_not_asked_again_while_the_answer_is_fresh(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    presence = Presence(Store(tmp_path / "home"), [spec("m", f"file:{weights}")], fresh_s=3600.0)
    assert await presence.names() == frozenset()
    weights.mkdir()
    assert await presence.names() == frozenset()


async def test_exchanged_rows_are_looked_for_at_once(tmp_path: Path) -> None:
    old, new = spec("old", f"file:{tmp_path}"), spec("new", f"file:{tmp_path}")
    presence = Presence(Store(tmp_path / "home"), [old], fresh_s=3600.0)
    assert await presence.names() == {"old"}
    presence.follow(Store(tmp_path / "other"), [new])
    assert await presence.names() == {"new"}


async def test_a_row_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    specs = [spec("bad", "ftp:somewhere"), spec("none", None), spec("good", f"file:{tmp_path}")]
    assert await Presence(Store(tmp_path / "home"), specs).names() == {"good"}


async def test_a_store_that_cannot_be_read_has_nothing(tmp_path: Path) -> None:
    hub = spec("hub", "hf:org/model@abc")
    (tmp_path / "models.lock").write_text("not a lock")
    Shelf(tmp_path).folder(hub).mkdir(parents=True)
    assert await Presence(Store(tmp_path), [hub]).names() == frozenset()
