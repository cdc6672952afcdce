"""Streams whose keys and values are kept in pages get the tokens of merged ones, and give every page back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.backend import Advance
from gateway.engines.llm.constraint import Json
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.merged import MergedStepper
from gateway.engines.llm.options import Options
from gateway.engines.llm.paged import PagedStepper
from gateway.engines.llm.paged_plan import PAGE_TOKENS, plan_pages
from gateway.engines.llm.stepping import PROMPT_TOKENS_PER_STEP
from gateway.engines.llm.transformers import TransformersModel
from gateway.errors import ContextExceeded
from tests import tiny, tiny_seers
from tests.engines.llm.streams import Conversation, ask, load
from tests.engines.llm.token_streams import decoding, library_model, run, token_model

TOKENIZER = tiny.byte_tokenizer()
TEXTS = ("Hello", "A prompt that is a good deal longer than the others. ", "x", "日本 😀")
PROMPTS = [TOKENIZER.encode(text) for text in TEXTS]
LONG = TOKENIZER.encode("long " * 300)
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 22]}}, "required": ["a"], "additionalProperties": False}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": None},
    "gemma3_text": {"head_dim": 8, "sliding_window": 21, "layer_types": ["sliding_attention", "full_attention"]},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def merged(files: Path) -> TransformersModel:
    return token_model(files, prefix_cache="off", options={"cache": "merged"})


def paged(files: Path, pages: int | None = None, **fields: Any) -> tuple[TransformersModel, PagedStepper]:
    """A model with its stepper; with only so many pages, if `pages` says so."""
    fields = {"options": {"cache": "paged"}, "max_streams": 4} | fields
    model = token_model(files, **fields)
    if pages is not None:
        row = {"name": "@local/chat", "task": "text-generation", "engine": "llm"} | fields
        plan = plan_pages(ModelSpec.model_validate(row), Options(), library_model(model), model.window)
        plan.num_blocks = pages
        model._stepper = PagedStepper(library_model(model), plan, model.window)
    assert isinstance(model._stepper, PagedStepper)
    return model, model._stepper


def every_kind(max_tokens: int) -> list[Decoding]:
    """A way to choose tokens for each of `PROMPTS`, no two alike, and one more."""
    return [
        decoding(max_tokens, logprobs=3),
        decoding(max_tokens, temperature=1.2, seed=7, logit_bias={40: 3.0, 41: -100.0}),
        decoding(200, temperature=1, seed=3, constraint=Json(SCHEMA)),
        decoding(max_tokens, temperature=0.7, seed=2**40),
        decoding(max_tokens, ignore_eos=True),
    ]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_streams_of_every_kind_get_the_tokens_of_merged_ones(tmp_path: Path, family: str) -> None:
    files = tiny.chat_model(tmp_path, family, **FAMILIES[family])
    streams = list(zip([*PROMPTS, LONG], every_kind(40), strict=True))
    expected = run(token_model(files, prefix_cache="off", options={"cache": "merged"}), *streams)
    model, stepper = paged(files)
    told = run(model, *streams)
    assert [(one.ids, one.finish_reason) for one in told] == [(one.ids, one.finish_reason) for one in expected]
    found, wanted = ([report.logprob for report in one[0].reports] for one in (told, expected))
    assert found == pytest.approx(wanted, abs=1e-4)
    assert stepper.free_share == 1


def test_a_stream_that_leaves_gives_its_pages_back(files: Path) -> None:
    model, stepper = paged(files)
    for id, prompt in enumerate((LONG, PROMPTS[0], PROMPTS[1])):
        model.add(id, Prompt(prompt), decoding(100, ignore_eos=True))
    model.drop(2)  # before its first step
    model.step()
    taken = -(-PROMPT_TOKENS_PER_STEP // PAGE_TOKENS)
    assert 1 - stepper.free_share >= taken / (4 * 2048 / PAGE_TOKENS)
    model.drop(0)  # its prompt half read
    while not model.step():
        pass
    model.drop(1)
    model.drop(1)
    assert (stepper.free_share, stepper._streams, stepper._read) == (1, {}, {})
    assert model.step() == []


def test_a_long_prompt_keeps_no_running_stream_waiting(files: Path) -> None:
    model, _ = paged(files)
    model.add(0, Prompt(PROMPTS[0]), decoding(100, ignore_eos=True))
    model.step()
    model.add(1, Prompt(LONG), decoding(5))
    told: list[list[int]] = []
    while not told or 1 not in told[-1]:
        told.append([id for id, _ in model.step()])
    assert len(told) == -(-len(LONG) // PROMPT_TOKENS_PER_STEP)
    assert all(0 in ids for ids in told)


@pytest.mark.parametrize(("pages", "prefix_cache"), [(6, "account"), (9, "shared")])
def test_streams_for_which_there_is_no_page_wait_and_are_answered(
    files: Path, merged: TransformersModel, pages: int, prefix_cache: str
) -> None:
    streams = [(PROMPTS[i % 4], decoding(40, temperature=i % 2, seed=i, ignore_eos=True)) for i in range(10)]
    model, stepper = paged(files, pages, prefix_cache=prefix_cache)
    assert [told.ids for told in run(model, *streams)] == [told.ids for told in run(merged, *streams)]
    assert stepper._cache.evict_cached_blocks() == (prefix_cache == "shared")
    assert stepper.free_share == 1


def test_a_window_that_the_pages_cannot_hold_is_shortened(files: Path) -> None:
    assert paged(files, 6)[1].window == 6 * PAGE_TOKENS


def test_two_hundred_streams_of_which_some_leave_give_all_pages_back(files: Path, merged: TransformersModel) -> None:
    chance = random.Random(1)
    model, stepper = paged(files, 40, max_streams=16)
    asked = {id: (PROMPTS[id % 4], decoding(1 + id % 13, temperature=id % 2, seed=id)) for id in range(200)}
    told: dict[int, list[int]] = {}
    open_, left, waiting = set[int](), set[int](), list(asked)
    while open_ or waiting:
        for id in [waiting.pop() for _ in range(min(len(waiting), chance.randrange(12)))]:
            model.add(id, Prompt(asked[id][0]), asked[id][1])
            open_.add(id)
        for id in [id for id in open_ if chance.random() < 0.05]:
            model.drop(id)
            open_.remove(id)
            left.add(id)
        for id, advance in model.step():
            assert isinstance(advance, Advance)
            assert id in open_
            told.setdefault(id, []).extend(advance.tokens)
            if advance.finish_reason is not None:
                open_.remove(id)
    assert (stepper.free_share, stepper._streams, stepper._scheduler.has_pending_requests()) == (1, {}, False)
    stayed = [id for id in asked if id not in left]
    assert 50 < len(stayed) < 195
    assert [told[id] for id in stayed] == [one.ids for one in run(merged, *(asked[id] for id in stayed))]


@pytest.mark.parametrize(
    ("prefix_cache", "found"), [("auto", 0), ("account", 0), ("off", 0), ("shared", len(LONG) // 16 * 16)]
)
def test_prompts_share_pages_only_where_accounts_are_not_kept_apart(files: Path, prefix_cache: str, found: int) -> None:
    model, _ = paged(files, prefix_cache=prefix_cache)
    first, second = (run(model, (LONG, decoding(5, salt=salt)))[0] for salt in ("one", "other"))
    assert (first.cached, second.cached) == (0, found)
    assert first.ids == second.ids


def test_what_does_not_fit_the_window_is_refused(files: Path) -> None:
    engine = load(files, context_window=128, threads=1, options={"cache": "paged"}, max_streams=2)
    with pytest.raises(ContextExceeded, match=r"tokens \(129\) exceeded"):
        Conversation(engine).admit(prompt="x" * 95, max_tokens=29)
    told = ask(engine, prompt="x" * 95, max_tokens=28, temperature=0)
    assert told.usage is not None
    assert (told.finish_reason, told.usage.completion_tokens) == ("length", 28)


@pytest.mark.parametrize(
    ("family", "more", "stepper"),
    [
        ("llama", {}, MergedStepper),
        ("mistral", {"sliding_window": 16}, PagedStepper),
        ("gemma2", {"sliding_window": 16, "head_dim": 8}, MergedStepper),
    ],
)
def test_pages_are_chosen_on_a_cpu_for_streams_that_cannot_be_merged(
    tmp_path: Path, family: str, more: dict[str, Any], stepper: type
) -> None:
    model = token_model(tiny.chat_model(tmp_path, family, **more), max_streams=2)
    assert type(model._stepper) is stepper


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("gemma2", "no paged attention"), ("seer", "takes pictures"), ("recurrent", "layers of a kind")],
)
def test_a_row_that_asks_for_pages_in_vain_is_told_why(tmp_path: Path, kind: str, reason: str) -> None:
    if kind == "seer":
        files = tiny_seers.seer(tmp_path, next(iter(tiny_seers.KINDS)))
    elif kind == "gemma2":
        files = tiny.chat_model(tmp_path, kind, head_dim=8)
    else:
        files = tiny.chat_model(tmp_path, "lfm2", layer_types=["conv", "full_attention"])
    with pytest.raises(ConfigError, match=rf"row @local/chat: options.cache: paged cannot be used: .*{reason}"):
        token_model(files, options={"cache": "paged"})
