"""What a text-generation row needs of the system beyond reading its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import ModelSpec
from gateway.engines.base import Access
from gateway.engines.llm import Engine

COMMAND = {"command": ["serve", "--port", "{port}"]}


@pytest.mark.parametrize(
    ("options", "fields", "needed"),
    [
        ({}, {}, Access(folders=(Path("/store/.openvino"),))),
        ({"keep_converted": False}, {}, Access()),
        ({"backend": "transformers"}, {}, Access()),
        ({}, {"loras": {"tune": "file:/tune"}}, Access(folders=(Path("/store/.openvino"),))),
        ({"url": "http://127.0.0.1:8001/v1"}, {}, Access(network=True)),
        (COMMAND, {}, Access(network=True, programs=True)),
    ],
)
def test_a_row_asks_for_what_its_backend_does(options: dict[str, Any], fields: dict[str, Any], needed: Access) -> None:
    spec = ModelSpec(name="m", task="text-generation", engine="llm", options=options, **fields)
    assert Engine.access(spec, Path("/store/model.gguf")) == needed


def test_safetensors_are_only_read(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    spec = ModelSpec(name="m", task="text-generation", engine="llm")
    assert Engine.access(spec, tmp_path) == Access()
