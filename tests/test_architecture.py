"""The rules of docs/architecture.md that a linter of imports cannot see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server import gateway, write_models

ROOT = Path(__file__).parents[1]
LIBRARIES = (
    "torch",
    "transformers",
    "diffusers",
    "faster_whisper",
    "sentence_transformers",
    "openvino_genai",
    "openvino",
    "ctranslate2",
    "av",
    "llguidance",
    "peft",
    "numpy",
)


def test_the_front_imports_no_model_library() -> None:
    code = f"import gateway.app, gateway.cli.main, sys; print([name for name in {LIBRARIES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_front_leaves_the_environment_alone() -> None:
    code = "import os; before = dict(os.environ); import gateway.app; print(before == dict(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("module", ["fastapi", "typer"])
def test_a_worker_imports_nothing_of_the_front(module: str, tmp_path: Path) -> None:
    row = "{name: '@test/tells', task: text-classification, engine: 'tests.fixtures.engines.tells_modules:Engine'}"
    models = write_models(tmp_path / "models.yaml", row)
    with gateway("--models", str(models), "--home", str(tmp_path), env={"PYTHONPATH": str(ROOT)}) as server:
        for name, is_imported in ((module, "False"), ("gateway.runtime.child", "True")):
            answer = httpx.post(
                server.run_url("@test/tells"), json={"text": name}, headers={"authorization": "Bearer any"}, timeout=60
            )
            assert answer.json()["result"][0]["label"] == is_imported
