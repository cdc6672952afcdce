"""Prompts that begin alike share their work, within one account, and the answers are the same as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from gateway.engines.llm.prefix_cache import MIN_TOKENS, PrefixCache
from gateway.engines.llm.transformers import TransformersModel
from tests import tiny, tiny_seers
from tests.engines.llm.streams import ask, load
from tests.engines.llm.token_streams import decoding, run, token_model
from tests.seeing import shown
from tests.tiny_vision import picture

TOKENIZER = tiny.byte_tokenizer()
SYSTEM = "You are a helpful assistant who knows all about the sea. "
MIB = 1 << 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def model(files: Path) -> TransformersModel:
    return token_model(files)


def prompt(text: str) -> list[int]:
    ids: list[int] = TOKENIZER.encode(SYSTEM + text)
    return ids


def cached(model: TransformersModel, text: str, **how: Any) -> int:
    return run(model, (prompt(text), decoding(4, **how)))[0].cached


def test_what_two_prompts_share_is_not_computed_again(model: TransformersModel) -> None:
    shared = len(prompt(""))
    assert cached(model, "What is a whale?", salt="a") == 0
    assert cached(model, "Or a shark?", salt="a") == shared
    assert cached(model, "Or a ship?", salt="a") == shared + len("Or a sh")
    assert cached(model, "Or a ship?", salt="a") == len(prompt("Or a ship?")) - 1


def test_no_account_finds_anothers_prompt(model: TransformersModel) -> None:
    assert cached(model, "What is a whale?", salt="a") == 0
    assert cached(model, "What is a whale?", salt="b") == 0
    assert cached(model, "What is a whale?", salt="") == 0
    assert cached(model, "What is a whale?", salt="a") > 0


@pytest.mark.parametrize(("setting", "found"), [("account", False), ("shared", True), ("off", False)])
def test_a_row_says_who_may_share(files: Path, setting: str, found: bool) -> None:
    model = token_model(files, prefix_cache=setting)
    assert cached(model, "What is a whale?", salt="a") == 0
    assert (cached(model, "What is a whale?", salt="b") > 0) == found
    assert (cached(model, "What is a whale?", salt="a") > 0) == (setting != "off")


@pytest.mark.parametrize("temperature", [0, 1])
def test_answers_are_those_without_the_cache(model: TransformersModel, files: Path, temperature: float) -> None:
    without = token_model(files, prefix_cache="off")
    texts = ["What is a whale?", "Or a shark?" * 60, "Or a shark?" * 60 + " And a ship?", "What is a whale? Tell me."]
    streams = [(prompt(text), decoding(20, temperature=temperature, seed=i)) for i, text in enumerate(texts)]
    expected = [run(without, stream)[0].ids for stream in streams]
    assert [run(model, stream)[0].ids for stream in streams] == expected
    again = run(model, *streams)
    assert [told.ids for told in again] == expected
    assert [told.cached for told in again] == [len(tokens) - 1 for tokens, _ in streams]


def test_an_answer_says_what_was_cached(files: Path) -> None:
    engine = load(files, dtype="float32", threads=1)
    body = {"prompt": SYSTEM, "max_tokens": 3, "temperature": 0}
    counts = [told.usage.cached_tokens for told in (ask(engine, **body), ask(engine, **body)) if told.usage]
    assert counts == [0, ask(engine, **body).usage.prompt_tokens - 1]  # type: ignore[union-attr]


def test_pictures_are_looked_at_each_time(tmp_path: Path) -> None:
    engine = load(tiny_seers.seer(tmp_path), dtype="float32", threads=1)
    told = [ask(engine, messages=[shown(picture(60, 40, seed), "Hi")], temperature=0) for seed in (0, 1, 0)]
    assert told[0].text != told[1].text
    assert told[2].text == told[0].text
    assert all(one.usage is not None and one.usage.cached_tokens == 0 for one in told)


def test_a_cache_that_forgets_is_not_kept(tmp_path: Path) -> None:
    model = token_model(tiny.chat_model(tmp_path, "mistral", sliding_window=16))
    assert [cached(model, "What is a whale?") for _ in range(2)] == [0, 0]


def held(tokens: list[int]) -> DynamicCache:
    cache = DynamicCache()
    cache.update(torch.zeros(1, 1, len(tokens), 4), torch.zeros(1, 1, len(tokens), 4), 0)
    return cache


def test_the_least_used_prompts_go_first() -> None:
    prompts = [[first, *range(31)] for first in range(4)]
    cache = PrefixCache(3 * 32 * 4 * 2 * 4)
    for tokens in prompts[:3]:
        cache.keep("", tokens, held(tokens))
    assert cache.find("", prompts[0]) is not None
    cache.keep("", prompts[3], held(prompts[3]))
    assert [cache.find("", tokens) is not None for tokens in prompts] == [True, False, True, True]
    assert cache.size_bytes == 3 * 32 * 4 * 2 * 4


def test_a_longer_prompt_replaces_its_beginning_and_a_shorter_one_is_not_kept() -> None:
    cache = PrefixCache(MIB)
    for length in (20, 30, 25, MIN_TOKENS - 1):
        cache.keep("", list(range(length)), held(list(range(length))))
    assert len(cache._entries) == 1
    found = cache.find("", list(range(40)))
    assert found is not None
    assert found.tokens == 30
    assert cache.find("", list(range(MIN_TOKENS))) is None


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = PrefixCache(100)
    cache.keep("", list(range(40)), held(list(range(40))))
    assert (cache.size_bytes, cache.find("", list(range(40)))) == (0, None)
