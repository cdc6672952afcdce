"""Readies a process for the model libraries: no connection is theirs to make, and imports happen ahead of need."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

NAMES = "GATEWAY_PRELOAD_MODULES"

# The model libraries read these when they are imported, so they are set before anything else is.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}

# Importing openvino reports the import to its maker; it does without when this module cannot be imported.
FORBIDDEN = ("openvino_telemetry",)


def go_offline() -> None:
    """Forbid the model libraries of this process any connection; weights are local files by now."""
    os.environ.update(ENVIRONMENT)
    for module in FORBIDDEN:
        sys.modules[module] = None  # type: ignore[assignment]


def preload(modules: str) -> None:
    """Import the comma-separated `modules`; what is not installed is left to fail where it is needed."""
    for module in filter(None, modules.split(",")):
        with contextlib.suppress(Exception):
            importlib.import_module(module)
