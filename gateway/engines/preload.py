"""Readies a process for the model libraries: no connection is theirs to make, and imports happen ahead of need."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import tempfile
from pathlib import Path

NAMES = "GATEWAY_PRELOAD_MODULES"

# The model libraries read these when they are imported, so they are set before anything else is.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}

# Threads that wait for each other spin a while before they sleep. OpenMP's default, about a millisecond, is taken from
# whoever has the core next, the front included: beside a busy neighbour it costs most of the throughput.
WAITING = {"GOMP_SPINCOUNT": "3000"}

# Triton raises if it cannot write to its cache, which is in the home folder else.
TEMPORARY = ("TMPDIR", "TRITON_CACHE_DIR")

# Importing openvino reports the import to its maker; it does without when this module cannot be imported.
FORBIDDEN = ("openvino_telemetry",)


def settle() -> None:
    """Before any model library is imported: forbid them connections, since weights are local files, and long spins."""
    os.environ.update(ENVIRONMENT)
    os.environ.update({name: os.environ.get(name, value) for name, value in WAITING.items()})
    for module in FORBIDDEN:
        sys.modules[module] = None  # type: ignore[assignment]
    # At its import it advises to install what fetches code from a hub.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def settle_in(folder: Path) -> None:
    """Have libraries keep temporary files in `folder`, where this process may write, and what they compile as well."""
    tempfile.tempdir = str(folder)
    os.environ.update(dict.fromkeys(TEMPORARY, str(folder)))


def preload(modules: str) -> None:
    """Import the comma-separated `modules`; what is not installed is left to fail where it is needed."""
    for module in filter(None, modules.split(",")):
        with contextlib.suppress(Exception):
            importlib.import_module(module)
