"""Prompts that begin alike on OpenVINO: who shares the work, and how much of it usage says was shared."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.known_blocks import KnownBlocks
from gateway.engines.llm.sampling import Sampling
from tests import tiny_gguf
from tests.engines.llm.streams import load, streamed

PASS_TOKENS = 256


@pytest.mark.parametrize(("prefix_cache", "again"), [("shared", 1), ("account", 3), ("off", 3)])
def test_a_prompt_is_computed_again_unless_all_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix_cache: str, again: int
) -> None:
    caplog.set_level(logging.INFO, "gateway.engines.llm")
    file = tiny_gguf.chat_gguf(tmp_path / "model.gguf")
    engine = load(file, options={"backend": "openvino"}, prefix_cache=prefix_cache)
    told = [streamed(engine, [5, 9, 30, 7] * 160, Decoding(Sampling(4, temperature=0))) for _ in range(2)]
    assert [passes for passes, *_ in told] == [3, again]
    assert told[0][1] == told[1][1]
    assert ("cannot keep accounts apart" in caplog.text) == (prefix_cache == "account")


def test_cached_tokens_are_those_that_take_no_pass(tmp_path: Path) -> None:
    file = tiny_gguf.chat_gguf(tmp_path / "model.gguf")
    engine = load(file, options={"backend": "openvino"}, prefix_cache="shared")
    first = [5 + index % 60 for index in range(1500)]
    passes, answer, _ = streamed(engine, first, Decoding(Sampling(40, temperature=0), ignore_eos=True))
    assert passes == -(-1500 // PASS_TOKENS)
    told = []
    for shared in (1500, 1499, 1100, 700, 300, 31, 0):
        prompt = [*first[:shared], *([7] * (1500 - shared))]
        model = engine._backend._model  # type: ignore[attr-defined]
        model.add(0, Prompt(prompt), Decoding(Sampling(1, temperature=0), ignore_eos=True))
        passes, advances = 0, []
        while not advances:
            advances, passes = model.step(), passes + 1
        ((_, advance),) = advances
        told.append(advance.cached_tokens)
        assert passes == -(-(1500 - advance.cached_tokens) // PASS_TOKENS), shared
    # Full blocks of 32 that are alike from the beginning on; of a block that is not full OpenVINO may find more.
    assert told == [1472, 1472, 1088, 672, 288, 0, 0]
    followed = [*first, *answer]
    assert KnownBlocks(10_000).cached_tokens(followed) == 0
    assert model._blocks.cached_tokens(followed) == (len(followed) - 1) // 32 * 32
