"""Text generation on CUDA: the same answers as on a CPU where rounding leaves no doubt, and every feature at work."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from gateway.engines.llm.constraint import Json
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.merged import MergedStepper
from gateway.engines.llm.paged import PagedStepper
from gateway.engines.llm.row_choice import Chosen, choose
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.transformers import TransformersModel
from gateway.errors import InferenceFailed
from tests import tiny, tiny_seers
from tests.engines.llm.streams import Conversation, load
from tests.engines.llm.token_streams import decoding, library_model, run, token_model
from tests.seeing import shown
from tests.tiny_vision import picture

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TOKENIZER = tiny.byte_tokenizer()
PROMPTS = [TOKENIZER.encode(text) for text in ("Hello", "A prompt that is a good deal longer than the others.", "x")]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp("llama"))


# In float32 pages are read without flash attention, in 16 bits with it where it is installed.
@pytest.fixture(
    scope="module",
    params=[(dtype, cache) for dtype in ("float32", "bfloat16", "float16") for cache in ("merged", "paged")],
    ids="-".join,
)
def model(request: pytest.FixtureRequest, files: Path) -> TransformersModel:
    dtype, cache = request.param
    return token_model(files, device="cuda", dtype=dtype, max_streams=8, options={"cache": cache})


def test_logprobs_are_close_to_the_cpus(model: TransformersModel, files: Path) -> None:
    on_cpu = token_model(files)
    exact = library_model(model).dtype == torch.float32
    for prompt in PROMPTS:
        (there,) = run(model, (prompt, decoding(1, logprobs=0)))
        (here,) = run(on_cpu, (prompt, decoding(1, logprobs=262)))
        expected = dict(here.reports[0].top)[there.ids[0]]
        assert there.reports[0].logprob == pytest.approx(expected, abs=1e-3 if exact else 0.3)


@pytest.mark.parametrize("temperature", [0, 1])
def test_streams_side_by_side_end_as_they_should(model: TransformersModel, temperature: float) -> None:
    streams = [(prompt, decoding(20, temperature=temperature, seed=i)) for i, prompt in enumerate(PROMPTS)]
    told = run(model, *streams)
    assert all(len(one.ids) == 20 or one.finish_reason == "stop" for one in told)
    if library_model(model).dtype == torch.float32:
        assert [one.ids for one in told] == [run(model, stream)[0].ids for stream in streams]


def test_rows_of_different_settings_are_drawn_as_on_a_cpu() -> None:
    settings: list[dict[str, Any]] = [{}, {"top_k": 40}, {"top_p": 0.9}, {"top_k": 9, "top_p": 0.5}, {"temperature": 0}]
    settings += [{"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.3}, {"temperature": 3.0, "top_p": 0.95}]
    logits = torch.randn(32 * len(settings), 128_256, generator=torch.Generator().manual_seed(1)) * 2
    streams = [Decoding(Sampling(1, **setting, seed=seed), logprobs=2) for seed in range(32) for setting in settings]
    here, there = (
        choose([TokenChoice(how, [1, 2]) for how in streams], logits.to(device)) for device in ("cpu", "cuda")
    )
    alike = [
        isinstance(one, Chosen) and isinstance(other, Chosen) and one.token == other.token
        for one, other in zip(here, there, strict=True)
    ]
    # A number that falls on the edge between two tokens may be rounded to the other.
    assert sum(alike) >= len(alike) - 2


@pytest.mark.parametrize("setting", [{}, {"temperature": 0}, {"top_k": 5, "top_p": 0.5}])
def test_impossible_logits_end_their_stream_and_no_other(setting: dict[str, Any]) -> None:
    logits = torch.randn(3, 4096, device="cuda")
    logits[1] = torch.nan
    found = choose([TokenChoice(Decoding(Sampling(1, **setting)), []) for _ in range(3)], logits)
    assert [isinstance(one, InferenceFailed) for one in found] == [False, True, False]


def test_a_constrained_answer_is_valid(model: TransformersModel) -> None:
    for seed in range(3):
        how = decoding(400, temperature=1, seed=seed, constraint=Json(SCHEMA), logit_bias={2: 5.0})
        (told,) = run(model, (PROMPTS[0], how))
        assert told.finish_reason == "stop"
        jsonschema.validate(json.loads(TOKENIZER.decode(told.ids[:-1])), SCHEMA)


def test_a_prefix_is_found_again(model: TransformersModel) -> None:
    streams = [(PROMPTS[1], decoding(10, salt="gpu"))] * 2
    first, second = (run(model, stream)[0] for stream in streams)
    kept_apart = isinstance(model._stepper, MergedStepper)
    assert (first.cached, second.cached) == (0, len(PROMPTS[1]) - 1 if kept_apart else 0)
    if library_model(model).dtype == torch.float32:
        assert first.ids == second.ids


def test_streams_that_leave_give_their_pages_back(files: Path) -> None:
    model = token_model(files, device="cuda", dtype="bfloat16", max_streams=4, options={"cache": "paged"})
    assert isinstance(model._stepper, PagedStepper)
    for id, prompt in enumerate(PROMPTS):
        model.add(id, Prompt(prompt), decoding(50, ignore_eos=True))
    model.step()
    assert model._stepper.free_share < 1
    for id in range(len(PROMPTS)):
        model.drop(id)
    assert model._stepper.free_share == 1


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="needs flash-attn")
def test_with_flash_attention_steps_are_graphs_over_pages_by_default(files: Path) -> None:
    model = token_model(files, device="cuda", dtype="bfloat16", max_streams=4)
    assert isinstance(model._stepper, PagedStepper)
    assert model._stepper._processor.model_runner.use_cuda_graph_decode
    told = run(model, *((prompt, decoding(20, ignore_eos=True)) for prompt in PROMPTS))
    assert [len(one.ids) for one in told] == [20] * len(PROMPTS)


@pytest.mark.parametrize("kind", list(tiny_seers.KINDS))
def test_models_that_see_answer(tmp_path: Path, kind: str) -> None:
    engine = load(tiny_seers.seer(tmp_path, kind), device="cuda")
    body: dict[str, Any] = {"temperature": 1, "seed": 1, "max_tokens": 12}
    together = Conversation(engine)
    numbers = [together.admit(messages=[shown(picture(60, 40, seed), "What?")], **body) for seed in (0, 1)]
    numbers.append(together.admit(prompt="Hi", **body))
    assert all(told.error is None and told.finish_reason for told in together.finish(*numbers))
