"""Prompts that begin alike on OpenVINO: who shares the work, and that sharing changes nothing but the time."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from gateway.engines.llm import Engine
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.sampling import Sampling
from tests import tiny_gguf
from tests.engines.llm.streams import load, streamed

PASS_TOKENS = 256


def greedy(tokens: int, salt: str = "") -> Decoding:
    return Decoding(Sampling(tokens, temperature=0), salt=salt, ignore_eos=True)


def tiny(tmp_path: Path, prefix_cache: str, **options: object) -> Engine:
    file = tiny_gguf.chat_gguf(tmp_path / "model.gguf")
    return load(file, options={"backend": "openvino", **options}, prefix_cache=prefix_cache)


@pytest.mark.parametrize(
    ("prefix_cache", "own", "others"), [("shared", 1, 1), ("account", 1, 3), ("auto", 1, 3), ("off", 3, 3)]
)
def test_who_shares_is_as_the_row_says(tmp_path: Path, prefix_cache: str, own: int, others: int) -> None:
    engine = tiny(tmp_path, prefix_cache)
    told = [streamed(engine, [5, 9, 30, 7] * 160, greedy(4, salt)) for salt in ("one", "one", "other")]
    assert [passes for passes, *_ in told] == [3, own, others]
    assert told[0][1] == told[1][1] == told[2][1]


def test_nothing_is_kept_without_room(tmp_path: Path) -> None:
    engine = tiny(tmp_path, "shared", prefix_cache_mib=0)
    assert [streamed(engine, [5, 9, 30, 7] * 160, greedy(4))[0] for _ in range(2)] == [3, 3]


def test_cached_tokens_are_those_that_take_no_pass(tmp_path: Path) -> None:
    engine = tiny(tmp_path, "shared")
    first = [5 + index % 60 for index in range(1500)]
    passes, answer, _ = streamed(engine, first, greedy(40))
    assert passes == -(-1500 // PASS_TOKENS)
    followed = [*first, *answer]
    told = []
    for prompt in (followed, *([*first[:shared], *([7] * (1500 - shared))] for shared in (1500, 1100, 300, 31, 0))):
        model = engine._backend._model  # type: ignore[attr-defined]
        model.add(0, Prompt(prompt), greedy(1))
        passes, advances = 0, []
        while not advances:
            advances, passes = model.step(), passes + 1
        ((_, advance),) = advances
        told.append(advance.cached_tokens)
        assert passes == -(-(len(prompt) - advance.cached_tokens) // PASS_TOKENS)
    # Full pages of 32 that are alike from the beginning on; of an answer they are as well.
    assert told == [1536, 1472, 1088, 288, 0, 0]


def test_what_is_found_is_what_would_be_computed(smollm_file: Path) -> None:
    kept = load(smollm_file, options={"backend": "openvino"}, prefix_cache="account")
    tokens = Random(0)
    for length in (33, 63, 64, 100, 129, 300):
        prompt = [tokens.randrange(100, 20_000) for _ in range(length)]
        passes = [streamed(kept, prompt, greedy(24, salt)) for salt in ("a", "a", "b")]
        assert passes[0][1] == passes[1][1] == passes[2][1]


def test_choices_of_one_request_read_its_prompt_once(tmp_path: Path) -> None:
    engine = tiny(tmp_path, "account")
    model = engine._backend._model  # type: ignore[attr-defined]
    prompt = [5 + index % 60 for index in range(200)]
    for id in range(4):
        model.add(id, Prompt(prompt), greedy(2, "one"))
    cached = {}
    for _ in range(3):
        cached |= {id: advance.cached_tokens for id, advance in model.step() if len(cached) < 4 and id not in cached}
    assert cached == {0: 0, 1: 192, 2: 192, 3: 192}
