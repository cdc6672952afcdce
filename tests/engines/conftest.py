"""Starter weights for the engines' tests; the first use fetches them into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.models_file import find_models_file, load_specs
from gateway.weights.lock import Lock
from gateway.weights.progress import Silent
from gateway.weights.store import Store


def starter_files(name: str) -> Path:
    """The files of a row of the shipped models.yaml."""
    settings = Settings()
    rows = find_models_file(settings)
    spec = next(spec for spec in load_specs(rows) if spec.name == name)
    return Store(settings.home, pinned=Lock.for_models(rows)).pull(spec, Silent())


@pytest.fixture(scope="session")
def whisper_files() -> Path:
    """Whisper tiny.en in CTranslate2 form."""
    return starter_files("@cf/openai/whisper-tiny-en")


@pytest.fixture(scope="session")
def espeak_files() -> Path:
    """espeak-ng's shared library and its data."""
    return starter_files("@local/espeak-ng")
