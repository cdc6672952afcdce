"""One release, several rows: its wheel is fetched once, and what a damaged or other snapshot has is not believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gateway.config import ModelSpec
from gateway.weights.lock import Lock
from gateway.weights.progress import Silent
from gateway.weights.store import Store
from tests.weights.conftest import Puller, row
from tests.weights.server import Site
from tests.weights.wheels import BODY, build_wheel, wheel_name

JOES = b"[1]"
VOICES = {"speak_w/lib.json": b"{}", "speak_w/data/en.dat": BODY, "speak_w/data/de.dat": b"german"}
PLAIN = row("pypi:speak-w==1.0/speak_w")
JOE = {"speak_w/joe.dat": "pypi:joe-w==1.0/joe_w/joe.dat"}
OVERLAID = row("pypi:speak-w==1.0/speak_w", overlay=JOE)
OVER_ONE_OF_ITS_OWN = row("pypi:speak-w==1.0/speak_w", overlay={"speak_w/lib.json": JOE["speak_w/joe.dat"]})


@pytest.fixture
def wheel(site: Site) -> str:
    site.add_wheel(wheel_name("joe-w"), build_wheel("joe-w", {"joe_w/joe.dat": JOES}))
    return site.add_wheel(wheel_name("speak-w"), build_wheel("speak-w", VOICES))


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def named(members: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix("speak_w/"): body for name, body in members.items()}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(PLAIN, OVERLAID, {**named(VOICES), "joe.dat": JOES}, id="with a file laid over it"),
        pytest.param(OVERLAID, PLAIN, named(VOICES), id="without that file"),
        pytest.param(PLAIN, OVER_ONE_OF_ITS_OWN, {**named(VOICES), "lib.json": JOES}, id="laid over one of its own"),
        pytest.param(PLAIN, row("pypi:speak-w==1.0/speak_w", files=["*.json"]), {"lib.json": b"{}"}, id="a part of it"),
        pytest.param(
            PLAIN, row("pypi:speak-w==1.0/speak_w/data"), {"en.dat": BODY, "de.dat": b"german"}, id="a folder"
        ),
    ],
)
def test_a_second_row_takes_what_the_first_has(
    wheel: str, site: Site, store: Store, first: ModelSpec, second: ModelSpec, expected: dict[str, bytes]
) -> None:
    store.pull(first, Silent())
    assert content(store.pull(second, Silent())) == expected
    assert store.verify(second) == []
    assert len(site.gets(wheel)) == 1


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        pytest.param(row("pypi:speak-w==1.0/speak_w", files=["*.json"]), PLAIN, "data/en.dat", id="only a part"),
        pytest.param(row("pypi:speak-w==1.0/speak_w/data"), PLAIN, "lib.json", id="only a folder"),
        pytest.param(OVER_ONE_OF_ITS_OWN, PLAIN, "lib.json", id="another file in the place of one"),
    ],
)
def test_a_snapshot_that_lacks_a_file_is_not_taken_for_all(
    wheel: str, site: Site, store: Store, first: ModelSpec, second: ModelSpec, name: str
) -> None:
    store.pull(first, Silent())
    assert content(store.pull(second, Silent()))[name] == VOICES[f"speak_w/{name}"]
    assert len(site.gets(wheel)) == 2


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"GERMAN"), Path.unlink])
def test_what_is_damaged_is_not_handed_on(wheel: str, site: Site, store: Store, damage: Callable[[Path], Any]) -> None:
    damage(store.pull(PLAIN, Silent()) / "data" / "de.dat")
    assert (store.pull(OVERLAID, Silent()) / "data" / "de.dat").read_bytes() == b"german"
    assert store.verify(OVERLAID) == []
    assert len(site.gets(wheel)) == 2


def test_what_the_pins_do_not_admit_is_fetched_anew(wheel: str, site: Site, home: Path) -> None:
    pinned = Lock(snapshots={"it": Store(home).pin(OVERLAID, Silent())})
    honest, index = site.bodies[wheel], site.bodies.pop("/simple/speak-w/")
    site.add_wheel(wheel_name("speak-w"), build_wheel("speak-w", {**VOICES, "speak_w/lib.json": b"[]"}))
    elsewhere = home.with_name("elsewhere")
    Store(elsewhere).pull(PLAIN, Silent())
    site.bodies |= {wheel: honest, "/simple/speak-w/": index}
    before = len(site.gets(wheel))
    folder = Store(elsewhere, pinned=pinned).pull(OVERLAID, Silent())
    assert (folder / "lib.json").read_bytes() == b"{}"
    assert len(site.gets(wheel)) == before + 1


def test_two_pulls_at_once_fetch_one_wheel(
    wheel: str, site: Site, store: Store, pull_apart: Callable[..., Puller]
) -> None:
    gate = site.gates[wheel] = Event()
    first = pull_apart(PLAIN)
    assert site.reached.wait(60)
    second = pull_apart(OVERLAID)
    assert second.next_event()["purpose"] == "waiting for another process that is pulling it"
    gate.set()
    assert {"path"} <= set(first.outcome()) & set(second.outcome())
    assert len(site.gets(wheel)) == 1
    assert store.verify(PLAIN) == store.verify(OVERLAID) == []
