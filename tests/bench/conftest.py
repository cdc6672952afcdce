"""One gateway for all tests of the bench: rows without weights, tiny checkpoints and starters that speak and hear."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.api import limits
from gateway.api.access import Key, Scope
from gateway.api.keyfile import KeyFile
from gateway.config import Settings
from tests import tiny, tiny_diffusion, tiny_text, tiny_vision
from tests.bench.site import ROOT, Bench
from tests.server import Server, gateway

STARTERS = ("@cf/openai/whisper-tiny-en", "@local/espeak-ng", "@local/espeak-ng-aura")
EXACT = {"device": "cpu", "dtype": "float32", "threads": 1}
FALTERS = {"task": "text-classification", "engine": "tests.fixtures.engines.falters:Engine"}
NO_WEIGHTS: tuple[dict[str, Any], ...] = (
    {
        "name": "@cf/test/embed",
        "aliases": ["@cf/test/other"],
        "task": "text-embeddings",
        "engine": "fake",
        "properties": {"price": [{"unit": "per M input tokens", "price": 11.0}]},  # one neuron a token
    },
    {"name": "@cf/test/classify", "task": "text-classification", "engine": "fake"},
    {"name": "@cf/test/live", "task": "automatic-speech-recognition", "shape": "flux", "engine": "fake"},
    {"name": "@cf/test/falters", **FALTERS, "options": {"every": 2}},
    {"name": "@cf/test/once", **FALTERS, "options": {"every": 1_000_000}},
    {
        "name": "@cf/test/narrow",
        "task": "text-classification",
        "engine": "fake",
        "max_queue_items": 1,
        "max_batch_items": 1,
    },
    {
        "name": "@cf/test/absent",
        "task": "text-classification",
        "engine": "classifier",
        "source": "pypi:none==1.0/files",
    },
)


def tiny_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Checkpoints with random weights; a token that chat reads is a neuron, one that it writes is two."""
    prices = [{"unit": "per M input tokens", "price": 11.0}, {"unit": "per M output tokens", "price": 22.0}]
    for name, task, engine, make, more in (
        ("chat", "text-generation", "llm", tiny.chat_model, {"properties": {"price": prices}}),
        ("rank", "reranking", "reranker", tiny_text.cross_encoder, {}),
        ("see", "image-classification", "image_classifier", tiny_vision.image_classifier, {}),
        ("draw", "text-to-image", "diffusion", tiny_diffusion.stable_diffusion, {}),
    ):
        files = make(folder / name)
        yield {"name": f"@test/{name}", "task": task, "engine": engine, "source": f"file:{files}", **EXACT, **more}


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="package")
def models(folder: Path) -> Path:
    """The models.yaml that is served, with the pins of its starters beside it."""
    shipped = yaml.safe_load((ROOT / "models.yaml").read_text(encoding="utf-8"))["models"]
    starters = [row for row in shipped if row["name"] in STARTERS]
    shutil.copy(ROOT / "models.lock", folder)
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"models": [*NO_WEIGHTS, *tiny_rows(folder), *starters]}), encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def keys(folder: Path) -> dict[str, str]:
    """A key for everything, one that may not read the catalogue, and one for three requests a minute."""
    file = KeyFile.of(Settings(keys_file=folder / "keys.json"))
    run = (Scope.RUN,)
    return {
        "all": file.create("all", Key("", "", scopes=tuple(Scope))),
        "run": file.create("run", Key("", "", scopes=run)),
        "three": file.create("three", Key("", "", rate_limits=limits.rate_limits(["*=3"], "three"))),
    }


@pytest.fixture(scope="package")
def server(folder: Path, models: Path, keys: dict[str, str]) -> Iterator[Server]:
    """The starters' weights are in the store of this machine."""
    env = {"PYTHONPATH": str(ROOT), "GATEWAY_KEYS_FILE": str(folder / "keys.json")}
    with gateway("--models", str(models), env=env) as server:
        yield server


@pytest.fixture
def bench(server: Server, models: Path, keys: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, with a key for everything and the models.yaml of the server."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_MODELS", str(models))
    monkeypatch.setenv("GATEWAY_KEY", keys["all"])
    return Bench(server, tmp_path, monkeypatch)
