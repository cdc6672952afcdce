"""What the fork server imports: no connection, no thread, no device; and the model families are really there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, os, socket, sys, threading

attempts = []


def refuse(self, address):
    attempts.append(str(address))
    raise OSError("no network in this test")


def no_name(*args, **kwargs):
    attempts.append(str(args))
    raise OSError("no network in this test")


socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = no_name
import gateway.engines.prefork
import torch

print(json.dumps({
    "attempts": attempts,
    "threads": [thread.name for thread in threading.enumerate()],
    "loaded": [name for name in ("sentence_transformers", "faster_whisper", "openvino_genai") if name in sys.modules],
    "cuda": torch.cuda.is_initialized(),
}))
"""
MODULES = "gateway.engines.embedder,gateway.engines.whisper,gateway.engines.llm,gateway.engines.llm.preload"


def test_importing_the_model_libraries_reaches_out_to_nobody_and_starts_no_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "GATEWAY_PRELOAD_MODULES": MODULES},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "attempts": [],
        "threads": ["MainThread"],
        "loaded": ["sentence_transformers", "faster_whisper", "openvino_genai"],
        "cuda": False,
    }


def test_onnxruntime_keeps_no_session_to_report(tmp_path: Path) -> None:
    """Its telemetry is native code, which writes a session file and a database of events before it sends any."""
    script = "from gateway.engines import preload; preload.settle(); import onnxruntime"
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"), str(tmp_path))
    subprocess.run([sys.executable, "-c", script], env={**os.environ, **places}, check=True)
    assert list(tmp_path.rglob("*")) == []
