"""Files of a second repository join a snapshot: whole or not at all, judged like all others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.models_file import parse_specs
from gateway.weights.lock import Lock
from gateway.weights.store import Store
from tests.weights.conftest import Puller, row
from tests.weights.server import REVISION, UNAVAILABLE, Site

Start = Callable[..., Puller]
BASE = {"model_index.json": b"{}", "unet/config.json": b"{}", "unet/model.safetensors": b"old"}
UNET = (2).to_bytes(8, "little") + b"{}" + bytes(15_000_000)
CHOICE = ["model_index.json", "unet/config.json"]
OVERLAY = {"unet/model.safetensors": f"hf:other/fast@{REVISION}/fast_unet.safetensors"}


@pytest.fixture(autouse=True)
def repositories(site: Site) -> None:
    site.add_repository("org/base", BASE)
    site.add_repository("other/fast", {"fast_unet.safetensors": UNET, "fast.ckpt": b"\x80\x02}q\0."})


def test_the_file_takes_its_place_among_the_others(home: Path, store: Store, pull_apart: Start) -> None:
    spec = row("hf:org/base@main", files=CHOICE, overlay=OVERLAY)
    outcome = pull_apart(spec).outcome()
    assert outcome["path"] == str(store.path(spec))
    folder = store.path(spec)
    assert (folder / "unet" / "model.safetensors").read_bytes() == UNET
    assert sorted(os.listdir(folder / "unet")) == ["config.json", "model.safetensors"]
    (snapshot,) = Lock.load(home / "models.lock").snapshots.values()
    assert snapshot.revision == f"{REVISION}+{REVISION}"
    assert snapshot.source == f"hf:org/base@main + unet/model.safetensors={OVERLAY['unet/model.safetensors']}"
    assert store.verify(spec) == []
    (folder / "unet" / "model.safetensors").write_bytes(UNET[:-1] + b"\1")
    assert store.verify(spec) == ["unet/model.safetensors is damaged: its SHA-256 is not the one recorded"]


def test_a_row_without_the_overlay_is_another_snapshot(store: Store, pull_apart: Start) -> None:
    spec = row("hf:org/base@main", files=CHOICE, overlay=OVERLAY)
    pull_apart(spec).outcome()
    assert store.find(row("hf:org/base@main", files=CHOICE)) is None


def test_nothing_is_there_before_all_of_it_is(site: Site, store: Store, pull_apart: Start) -> None:
    spec = row("hf:org/base@main", files=CHOICE, overlay=OVERLAY)
    path = f"/other/fast/resolve/{REVISION}/fast_unet.safetensors"
    site.cuts[path] = [11_000_000, UNAVAILABLE, UNAVAILABLE]
    assert pull_apart(spec).outcome()["error"] == "PullFailed"
    assert store.find(spec) is None
    site.cuts[path] = []
    pull_apart(spec).outcome()
    assert site.gets(path)[-1].start > 0, "what had arrived was kept"
    assert (store.path(spec) / "unet" / "model.safetensors").read_bytes() == UNET


@pytest.mark.parametrize(
    ("overlay", "text"),
    [
        ({"../x.safetensors": OVERLAY["unet/model.safetensors"]}, "../x.safetensors would leave its folder"),
        ({"unet/x.py": OVERLAY["unet/model.safetensors"]}, "unet/x.py is Python code"),
        ({"unet/x.safetensors": "hf:other/fast@main/fast.ckpt"}, "fast.ckpt is a pickle"),
        ({"unet/x.safetensors": "hf:other/fast@main"}, "must name one file of a source that is fetched"),
        ({"unet/x.safetensors": "file:/etc/passwd"}, "must name one file of a source that is fetched"),
        ({"unet/x.gguf": OVERLAY["unet/model.safetensors"]}, "unet/x.gguf is not a GGUF file"),
    ],
)
def test_what_may_not_be_loaded_may_not_be_laid_over(
    store: Store, pull_apart: Start, overlay: dict[str, str], text: str
) -> None:
    spec = row("hf:org/base@main", files=CHOICE, overlay=overlay)
    assert text in pull_apart(spec).outcome()["detail"]
    assert store.find(spec) is None


@pytest.mark.parametrize("source", ["source: 'file:/tmp/x', ", ""])
def test_a_folder_in_use_is_not_written_to(source: str) -> None:
    text = f"models: [{{name: x, task: text-embeddings, engine: fake, {source}overlay: {{a: 'hf:o/r@main/a'}}}}]"
    with pytest.raises(ConfigError, match="overlay: files can be laid only over a source that is fetched"):
        parse_specs(text, "models.yaml")
