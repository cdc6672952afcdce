"""Which device and number type a row gets on which machine."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from gateway.config import ConfigError, ModelSpec
from gateway.engines.precision import Precision, bfloat16_pays, choose, has_bfloat16, use_threads


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(name="@local/x", task="text-embeddings", engine="embedder", **fields)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_rows_own_dtype_wins(dtype: str) -> None:
    assert choose(spec(device="cpu", dtype=dtype)) == Precision("cpu", dtype)


def test_auto_takes_bfloat16_on_a_cpu_only_where_it_pays() -> None:
    assert choose(spec(device="cpu")).dtype == ("bfloat16" if bfloat16_pays() else "float32")


def test_auto_stays_within_what_the_engine_offers() -> None:
    assert choose(spec(device="cpu"), offered=("float32", "int8")).dtype == "float32"


def test_a_dtype_that_the_engine_lacks_is_named() -> None:
    with pytest.raises(ConfigError, match=r"row @local/x: dtype: int8 is not one of float32"):
        choose(spec(dtype="int8"))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"row @local/x: device: cuda:63 is not there"):
        choose(spec(device="cuda:63"))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True}, False),
    ],
)
def test_bfloat16_needs_the_instructions(capabilities: dict[str, object], expected: bool) -> None:
    assert has_bfloat16(capabilities) is expected


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (None, len(os.sched_getaffinity(0)))])
def test_threads_are_the_rows_or_every_core(threads: int | None, expected: int) -> None:
    before = torch.get_num_threads()
    try:
        assert use_threads(spec(threads=threads)) == expected
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
