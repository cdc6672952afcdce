"""Tokens, and what they would have cost, are counted, whether or not their caller waits for the last of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.config import ModelSpec
from gateway.errors import InferenceFailed, JsonModeFailed, WorkerLost
from gateway.runtime.model import Model
from gateway.tasks import Origin, Piece, TaskInput
from tests.runtime.conftest import serving, until

ENDLESS = json.dumps([{"text": "a"}, {"text": "b"}, {"text": "c"}, {"wait": True}])
PRICE = [{"unit": "per M input tokens", "price": 11.0}, {"unit": "per M output tokens", "price": 22.0}]
SPEC = ModelSpec.model_validate(
    {
        "name": "say",
        "task": "text-generation",
        "engine": "tests.fixtures.engines.scripted:Engine",
        "properties": {"price": PRICE},
    }
)


def counted(model: Model, kind: str) -> float:
    """The counter of the model's tokens."""
    found = model._means.metrics.registry.get_sample_value("gateway_tokens_total", {"model": "say", "kind": kind})
    return found or 0.0


def neurons(model: Model) -> float:
    """What the counter says that the model's answers would have cost: one neuron a token in, two a token out."""
    return model._means.metrics.registry.get_sample_value("gateway_neurons_total", {"model": "say"}) or 0.0


async def begun(model: Model) -> AsyncGenerator[Piece, None]:
    """A stream of which everything has come but the end."""
    pieces = model.stream(model.task.parse({"prompt": ENDLESS}), Origin("1"))
    text = ""
    while text != "abc":
        text += (await anext(pieces)).text
    return pieces


async def test_a_stream_that_is_left_counts_what_it_had() -> None:
    async with serving(SPEC) as registry:
        model = registry.get("say")
        pieces = await begun(model)
        assert counted(model, "completion") == 0
        await pieces.aclose()
        await until(lambda: counted(model, "completion") > 0)
        assert counted(model, "completion") == 3
        assert counted(model, "prompt") == len(ENDLESS.split())
        assert neurons(model) == pytest.approx(len(ENDLESS.split()) + 2 * 3)


async def test_a_whole_answer_that_nobody_waits_for_counts_too() -> None:
    async with serving(SPEC) as registry:
        model = registry.get("say")
        asking = asyncio.create_task(model.infer(model.task.parse({"prompt": ENDLESS}), Origin("1")))
        await until(lambda: model.status()["running"] == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: counted(model, "prompt") > 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_finished_answer_counts_once(stream: bool) -> None:
    async with serving(SPEC) as registry:
        model = registry.get("say")
        input = model.task.parse({"prompt": "one two three"})
        if stream:
            assert [piece.is_last async for piece in model.stream(input, Origin("1"))][-1]
        else:
            await model.infer(input, Origin("1"))
        assert (counted(model, "prompt"), counted(model, "completion")) == (3, 4)
        assert neurons(model) == pytest.approx(3 + 2 * 4)


def failing(*end: dict[str, Any]) -> str:
    return json.dumps([{"text": "a"}, {"text": "b"}, *end])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ["raise", "fail"])
async def test_an_answer_that_fails_on_its_way_counts_what_it_had(end: str, stream: bool) -> None:
    async with serving(SPEC) as registry:
        model = registry.get("say")
        input = model.task.parse({"prompt": failing({end: True})})
        with pytest.raises(InferenceFailed):
            await (read(model, input) if stream else model.infer(input, Origin("1")))
        await until(lambda: counted(model, "completion") > 0)
        assert counted(model, "completion") == 2
        assert counted(model, "prompt") == len(failing({end: True}).split())


async def test_an_answer_that_is_not_the_json_it_had_to_be_counts() -> None:
    async with serving(SPEC) as registry:
        model = registry.get("say")
        input = model.task.parse({"prompt": failing(), "response_format": {"type": "json_object"}})
        with pytest.raises(JsonModeFailed):
            await model.infer(input, Origin("1"))
        await until(lambda: counted(model, "completion") > 0)
        assert counted(model, "completion") == 3


async def test_a_stream_whose_worker_is_killed_counts_what_has_come_of_it() -> None:
    async with serving(SPEC) as registry:
        model = registry.get("say")
        pieces = await begun(model)
        worker = model._keepers[0].worker
        assert worker is not None
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            await anext(pieces)
        assert counted(model, "completion") == 3
        assert counted(model, "prompt") == len(ENDLESS.split())


async def read(model: Model, input: TaskInput) -> None:
    async for _ in model.stream(input, Origin("1")):
        pass
