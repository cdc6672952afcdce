"""The rules of docs/architecture.md that a linter of imports cannot see."""

from __future__ import annotations

import subprocess
import sys

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
