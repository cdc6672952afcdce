"""Streaming engines: pieces in order, streams not mixed, callers who leave, engines that fail mid-stream."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from gateway.errors import BadInput, InferenceFailed, RequestTimeout, WorkerLost
from gateway.runtime.model import Model
from gateway.tasks import Origin
from tests.runtime.conftest import Serve


def expected(prompt: str, count: int) -> str:
    return "".join(f"{prompt}{i} " for i in range(1, count + 1))


async def read(model: Model, prompt: str, max_tokens: int) -> str:
    text = ""
    async for piece in model.stream(model.task.parse({"prompt": prompt, "max_tokens": max_tokens}), Origin("r")):
        text += piece.text
        if piece.finish_reason:
            assert piece.usage is not None
            assert piece.usage.completion_tokens == max_tokens
    return text


async def test_concurrent_streams_are_complete_and_not_mixed(serve: Serve) -> None:
    async with serve("counts", max_streams=8) as model:
        sizes = {f"s{i}-": 5 + 7 * i for i in range(30)}
        texts = await asyncio.gather(*(read(model, prompt, size) for prompt, size in sizes.items()))
        assert texts == [expected(prompt, size) for prompt, size in sizes.items()]
        assert not model._keepers[0].inside


async def test_unstreamed_equals_streamed(serve: Serve) -> None:
    async with serve("counts") as model:
        answer = await model.infer(model.task.parse({"prompt": "a", "max_tokens": 9}), Origin("r"))
        assert orjson.loads(answer.body)["response"] == await read(model, "a", 9)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 9


async def test_a_refused_input_fails_before_its_first_piece(serve: Serve) -> None:
    async with serve("counts") as model:
        with pytest.raises(BadInput):
            await read(model, "refuse", 5)


async def test_a_caller_who_leaves_frees_the_place(serve: Serve, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with serve("counts", max_streams=1, options={"notes": str(notes), "step_s": 0.001}) as model:
        stream = model.stream(model.task.parse({"prompt": "endless", "max_tokens": 1_000_000}), Origin("r"))
        await anext(stream)
        await stream.aclose()
        assert await read(model, "next", 3) == expected("next", 3)
    assert notes.read_text().splitlines() == ["admit endless", "drop endless", "admit next"]


@pytest.mark.parametrize(("prompt", "error"), [("die", WorkerLost), ("raise", InferenceFailed)])
async def test_a_failing_step_ends_the_streams_with_an_error(serve: Serve, prompt: str, error: type[Exception]) -> None:
    async with serve("counts") as model:
        with pytest.raises(error):
            await read(model, prompt, 10)
        assert await read(model, "after", 3) == expected("after", 3)


async def test_a_stuck_step_costs_the_worker_its_life_and_spares_waiting_bystanders(serve: Serve) -> None:
    async with serve("counts", run_limit_s=1.5, timeout_s=30) as model:
        assert await read(model, "warm", 2) == expected("warm", 2)
        bystander = model.infer(model.task.parse({"prompt": "by", "max_tokens": 5000}), Origin("r"))
        answers = await asyncio.gather(read(model, "hang", 10), bystander, return_exceptions=True)
        assert isinstance(answers[0], RequestTimeout)
        assert not isinstance(answers[1], BaseException)
        assert orjson.loads(answers[1].body)["response"] == expected("by", 5000)
