"""Against a server that speaks the hub's protocol on loopback; each pull is a process, as HF_ENDPOINT is read once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.weights.errors import PullFailed
from gateway.weights.lock import Lock
from gateway.weights.progress import Silent
from gateway.weights.store import Store
from tests.weights.conftest import Puller, row
from tests.weights.server import REVISION, UNAVAILABLE, Site

Start = Callable[..., Puller]
LARGE = b"GGUF" + bytes(22_000_000)
FILES = {
    "config.json": b"{}",
    "model.safetensors": (2).to_bytes(8, "little") + b"{}" + bytes(5000),
    "pytorch_model.bin": b"\x80\x02}q\0.",
    "sub/large.gguf": LARGE,
}
PLAIN = ["config.json", "*.safetensors"]


@pytest.fixture(autouse=True)
def repository(site: Site) -> None:
    site.add_repository("org/tiny", FILES)


def url(name: str) -> str:
    return f"/org/tiny/resolve/{REVISION}/{name}"


def test_fetches_what_the_globs_choose_and_never_the_pickle(site: Site, store: Store, pull_apart: Start) -> None:
    spec = row("hf:org/tiny@main", files=PLAIN)
    outcome = pull_apart(spec).outcome()
    folder = store.path(spec)
    assert outcome["path"] == str(folder)
    assert outcome["arrived_bytes"] == sum(len(FILES[name]) for name in ("config.json", "model.safetensors"))
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    assert not [asked for asked in site.asked if asked.path.endswith((".bin", ".gguf"))]


@pytest.mark.parametrize("revision", ["main", "refs/pr/7"])
def test_records_the_commit_that_a_name_stood_for(home: Path, pull_apart: Start, revision: str) -> None:
    pull_apart(row(f"hf:org/tiny@{revision}", files=PLAIN)).outcome()
    (snapshot,) = Lock.load(home / "models.lock").snapshots.values()
    assert (snapshot.source, snapshot.revision) == (f"hf:org/tiny@{revision}", REVISION)


def test_one_file_of_a_repository(store: Store, pull_apart: Start) -> None:
    spec = row(f"hf:org/tiny@{REVISION}/sub/large.gguf")
    file = Path(pull_apart(spec).outcome()["path"])
    assert file.name == "large.gguf"
    assert file.read_bytes() == LARGE


def test_a_pickle_is_refused_before_anything_is_fetched(site: Site, pull_apart: Start) -> None:
    outcome = pull_apart(row("hf:org/tiny@main")).outcome()
    assert outcome["error"] == "WeightsRefused"
    assert "pytorch_model.bin" in outcome["detail"]
    assert not [asked for asked in site.asked if "/resolve/" in asked.path]


def test_resumes_in_the_same_pull(site: Site, pull_apart: Start) -> None:
    path = url("sub/large.gguf")
    site.cuts[path] = [15_000_000]
    outcome = pull_apart(row("hf:org/tiny@main/sub/large.gguf")).outcome()
    first, second = site.gets(path)
    assert first.start == 0 < second.start <= 15_000_000
    assert outcome["arrived_bytes"] == len(LARGE)
    assert Path(outcome["path"]).read_bytes() == LARGE


def test_resumes_in_a_later_process(site: Site, store: Store, pull_apart: Start) -> None:
    path, spec = url("sub/large.gguf"), row("hf:org/tiny@main/sub/large.gguf")
    site.cuts[path] = [15_000_000, UNAVAILABLE, UNAVAILABLE]
    outcome = pull_apart(spec).outcome()
    assert outcome["error"] == "PullFailed"
    assert "pull again; what has arrived is kept" in outcome["detail"]
    assert store.find(spec) is None
    site.cuts[path] = []
    outcome = pull_apart(spec).outcome()
    assert site.gets(path)[-1].start > 0
    assert Path(outcome["path"]).read_bytes() == LARGE


def test_bytes_that_are_not_what_the_listing_says_are_refused(site: Site, pull_apart: Start) -> None:
    site.bodies[url("config.json")] = b"[]"
    outcome = pull_apart(row("hf:org/tiny@main/config.json")).outcome()
    assert outcome["error"] == "PullFailed"
    assert "config.json arrived damaged" in outcome["detail"]


@pytest.mark.parametrize("source", ["hf:org/absent@main", "hf:org/tiny@v9"])
def test_an_unknown_repository_or_revision_is_said_so(source: str, pull_apart: Start) -> None:
    outcome = pull_apart(row(source)).outcome()
    assert outcome["error"] == "PullFailed"
    assert "HF_ENDPOINT" in outcome["detail"] or "correct the row's source" in outcome["detail"]


def test_a_listing_cannot_name_files_outside_the_store(site: Site, pull_apart: Start, tmp_path: Path) -> None:
    site.add_repository("org/evil", {"../../../../escaped": b"x"})
    outcome = pull_apart(row("hf:org/evil@main")).outcome()
    assert outcome["error"] == "WeightsRefused"
    assert "../../../../escaped would leave its folder" in outcome["detail"]


def test_two_processes_do_the_work_once(site: Site, store: Store, pull_apart: Start) -> None:
    path, spec = url("model.safetensors"), row("hf:org/tiny@main/model.safetensors")
    gate = site.gates[path] = threading.Event()
    first = pull_apart(spec)
    assert site.reached.wait(60)
    second = pull_apart(spec)
    assert second.next_event()["purpose"] == "waiting for another process that is pulling it"
    gate.set()
    assert first.outcome()["path"] == second.outcome()["path"]
    assert len(site.gets(path)) == 1


def test_a_killed_pull_leaves_nothing_visible_and_does_not_block_the_next(
    site: Site, home: Path, store: Store, pull_apart: Start
) -> None:
    path, spec = url("model.safetensors"), row("hf:org/tiny@main/model.safetensors")
    gate = site.gates[path] = threading.Event()
    killed = pull_apart(spec)
    assert site.reached.wait(60)
    killed.kill()
    assert store.find(spec) is None
    assert not (home / "weights" / "snapshots").exists()
    gate.set()
    assert "path" in pull_apart(spec).outcome()
    assert store.verify(spec) == []
    assert list((home / "weights" / "work").iterdir()) == []


def test_importing_the_store_is_cheap() -> None:
    code = (
        "import sys, gateway.weights.store as s;"
        "print(sorted({'huggingface_hub', 'torch', 'transformers', 'requests', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_to_pull_for_a_row_without_a_source(store: Store) -> None:
    with pytest.raises(PullFailed, match="has no source"):
        store.pull(row(None), Silent())
    assert store.find(row(None)) is None
