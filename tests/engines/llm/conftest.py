"""The starter chat model for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.conftest import starter_files


@pytest.fixture(scope="session")
def smollm_file() -> Path:
    """SmolLM2 135M Instruct as a GGUF."""
    return starter_files("@local/smollm2-135m-instruct")
