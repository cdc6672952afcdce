"""What is read from the files of quantized weights: how they are packed, and what they will take in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gateway.config import ModelSpec
from gateway.runtime.need import WeightsSize, weights_size
from gateway.weights.content import size_below
from gateway.weights.quantization import Quantization, read_quantization, unpacked_bytes
from tests.tiny_quantized import KINDS


@pytest.mark.parametrize("kind", ["fp8", "mxfp4", "compressed-tensors", "compressed-tensors-mixed"])
def test_weights_that_are_unpacked_are_sized_as_their_plain_twins(kind: str, tmp_path: Path) -> None:
    pair = KINDS[kind](tmp_path)
    assert pair.plain is not None
    plain = 2 * sum(weight.numel() for weight in load_file(pair.plain / "model.safetensors").values())
    found = unpacked_bytes(pair.packed)
    # The scales are counted too, and where numbers of several sizes are packed, all as the smallest.
    assert plain <= found <= plain * (1.6 if kind == "compressed-tensors-mixed" else 1.2)


def test_weights_that_stay_packed_are_sized_by_their_files(tmp_path: Path) -> None:
    assert unpacked_bytes(KINDS["bitsandbytes-4bit"](tmp_path).packed) == 0


def test_what_another_server_makes_of_the_weights_is_not_guessed(tmp_path: Path) -> None:
    files = KINDS["fp8"](tmp_path).packed
    row = {"name": "m", "task": "text-generation", "engine": "llm"}
    here, there = (ModelSpec.model_validate(row | more) for more in ({}, {"options": {"command": ["serve"]}}))
    assert weights_size(here, files) == WeightsSize(size_below(files), unpacked_bytes(files))
    assert weights_size(there, files) == WeightsSize(size_below(files))


def test_a_damaged_file_is_sized_by_its_bytes(tmp_path: Path) -> None:
    files = KINDS["fp8"](tmp_path).packed
    (files / "model.safetensors").write_bytes(b"\xff" * 100)
    row = ModelSpec.model_validate({"name": "m", "task": "text-generation", "engine": "llm"})
    assert weights_size(row, files) == WeightsSize(size_below(files))


AWQ = {"quant_method": "awq"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"quantization_config": None}, None),
        ({"quantization_config": AWQ}, Quantization("awq", AWQ)),
        ({"text_config": {"quantization_config": AWQ}}, Quantization("awq", AWQ)),
        ({"quantization_config": {"load_in_4bit": True}}, Quantization("bitsandbytes", {"load_in_4bit": True})),
        ({"quantization_config": {"bits": 4}}, Quantization("", {"bits": 4})),
        ({"quantization_config": "awq"}, Quantization("", {})),
        (["quantization_config"], None),
    ],
)
def test_the_method_is_what_config_json_says(tmp_path: Path, config: Any, expected: Quantization | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_quantization(tmp_path) == expected
