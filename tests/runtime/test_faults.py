"""Workers that die, hang, raise, miscount and garble: each request gets its one answer, bystanders are unharmed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway.errors import (
    BadInput,
    GatewayError,
    InferenceFailed,
    ModelUnavailable,
    Overloaded,
    RequestTimeout,
    WorkerLost,
)
from gateway.runtime.model import Model
from gateway.tasks import Answer, Origin
from tests.runtime.conftest import Serve, label, serving, spec, until


async def ask(model: Model, text: str) -> Answer | GatewayError:
    try:
        return await model.infer(model.task.parse({"text": text}), Origin("r"))
    except GatewayError as error:
        return error


async def test_a_poisonous_input_fails_alone(serve: Serve) -> None:
    async with serve("raises") as model:
        texts = ["poison" if i % 10 == 0 else "refuse" if i % 10 == 1 else f"t{i}" for i in range(200)]
        answers = await asyncio.gather(*(ask(model, text) for text in texts))
        for text, answer in zip(texts, answers, strict=True):
            if text == "poison":
                assert isinstance(answer, InferenceFailed)
                assert "secret" not in answer.detail
            elif text == "refuse":
                assert isinstance(answer, BadInput)
            else:
                assert label(answer) == text


async def test_a_dead_worker_fails_what_was_inside_and_is_replaced(serve: Serve) -> None:
    async with serve("dies") as model:
        assert label(await ask(model, "before")) == "before"
        lost = await ask(model, "die")
        assert isinstance(lost, WorkerLost)
        assert lost.should_retry is False
        assert label(await ask(model, "after")) == "after"


async def test_a_worker_killed_from_outside_is_replaced(serve: Serve) -> None:
    async with serve("echo", preload=True) as model:
        assert label(await ask(model, "before")) == "before"
        worker = model._keepers[0].worker
        assert worker is not None
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        await worker.lost()
        assert label(await ask(model, "after")) == "after"


async def test_a_stopped_worker_times_out_its_request_and_is_replaced(serve: Serve) -> None:
    async with serve("echo", timeout_s=20, run_limit_s=0.5) as model:
        assert label(await ask(model, "before")) == "before"
        worker = model._keepers[0].worker
        assert worker is not None
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGSTOP)
        assert isinstance(await ask(model, "frozen"), RequestTimeout)
        assert label(await ask(model, "after")) == "after"


async def test_bystanders_of_a_stuck_batch_run_again(serve: Serve) -> None:
    async with serve("hangs", timeout_s=30, run_limit_s=0.5) as model:
        assert label(await ask(model, "warm")) == "warm"
        texts = ["one", "hang", "two", "three"]
        answers = await asyncio.gather(*(ask(model, text) for text in texts))
        assert isinstance(answers[1], RequestTimeout)
        assert [label(answers[i]) for i in (0, 2, 3)] == ["one", "two", "three"]


async def test_a_wrong_count_is_found_out(serve: Serve) -> None:
    async with serve("miscounts") as model:
        answers = await asyncio.gather(*(ask(model, text) for text in ("short", "a", "b")))
        assert isinstance(answers[0], InferenceFailed)
        assert [label(answer) for answer in answers[1:]] == ["a", "b"]


async def test_garbage_on_the_pipe_ends_the_worker(serve: Serve) -> None:
    async with serve("garbles") as model:
        assert isinstance(await ask(model, "garble"), WorkerLost)
        assert label(await ask(model, "after")) == "after"


async def test_a_failed_load_is_told_at_once_and_mended_later(serve: Serve, tmp_path: Path) -> None:
    fault = tmp_path / "fault"
    fault.touch()
    async with serve("fails_to_load", options={"fault": str(fault)}) as model:
        error = await ask(model, "a")
        assert isinstance(error, ModelUnavailable)
        assert error.detail.endswith("ValueError: the weights are upside down")
        assert isinstance(await ask(model, "while cooling down"), ModelUnavailable)
        fault.unlink()
        while isinstance(answer := await ask(model, "again"), ModelUnavailable):
            assert answer.retry_after_s
        assert label(answer) == "again"


async def test_loading_has_a_deadline(serve: Serve) -> None:
    async with serve("loads_forever", load_timeout_s=0.5) as model:
        error = await ask(model, "a")
        assert isinstance(error, ModelUnavailable)
        assert "0.5 s" in error.detail


async def test_stop_while_loading_leaves_nothing() -> None:
    async with serving(spec("loads_forever", preload=True), grace_s=0) as registry:
        model = registry.get("loads_forever")
        asking = asyncio.create_task(ask(model, "a"))
        await until(lambda: (worker := model._keepers[0].worker) is not None and worker.pid is not None)
        pid = model._keepers[0].worker.pid
    assert isinstance(await asking, ModelUnavailable)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_stop_while_a_failed_load_is_cleared_away_leaves_nothing() -> None:
    async with serving(spec("loads_forever", preload=True, load_timeout_s=0.2)) as registry:
        keeper = registry.get("loads_forever")._keepers[0]
        await until(lambda: keeper.state == "failed" and keeper.worker is not None)
        worker = keeper.worker
        assert worker is not None
        pid = worker.pid
    assert worker.is_lost
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_full_queue_refuses_at_once(serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serve("waits", options={"gate": str(gate)}, max_queue_items=2, max_batch_items=1) as model:
        inside = asyncio.create_task(ask(model, "inside"))
        await until(lambda: bool(model._keepers[0].inside))
        waiting = [asyncio.create_task(ask(model, f"waiting{i}")) for i in range(2)]
        await until(lambda: len(model._queue) == 2)
        assert isinstance(await ask(model, "too many"), Overloaded)
        gate.touch()
        assert [label(answer) for answer in await asyncio.gather(inside, *waiting)] == [
            "inside",
            "waiting0",
            "waiting1",
        ]


async def test_who_leaves_the_queue_is_never_run(serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serve("waits", options={"gate": str(gate)}, max_batch_items=1) as model:
        inside = asyncio.create_task(ask(model, "inside"))
        await until(lambda: bool(model._keepers[0].inside))
        leaver = asyncio.create_task(ask(model, "leaver"))
        await until(lambda: len(model._queue) == 1)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        gate.touch()
        assert label(await inside) == "inside"
        assert label(await ask(model, "last")) == "last"
    assert gate.with_suffix(".batches").read_text().split() == ["inside", "last"]


async def test_a_request_past_its_deadline_in_the_queue_gets_408(serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serve("waits", options={"gate": str(gate)}, max_batch_items=1, timeout_s=0.5, run_limit_s=60) as model:
        while isinstance(answer := await ask(model, "warm"), RequestTimeout) and not model._keepers[0].inside:
            pass
        assert isinstance(answer, RequestTimeout)
        assert isinstance(await ask(model, "queued"), RequestTimeout)
        assert len(model._queue) == 0
        gate.touch()
        while isinstance(answer := await ask(model, "after"), RequestTimeout):
            pass
        assert label(answer) == "after"


async def test_two_replicas_work_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    row = spec("waits", options={"gate": str(gate)}, replicas=2, max_batch_items=1)
    async with serving(row) as registry:
        model = registry.get("waits")
        both = [asyncio.create_task(ask(model, text)) for text in ("a", "b")]
        await until(lambda: sum(len(keeper.inside) for keeper in model._keepers) == 2)
        gate.touch()
        assert [label(answer) for answer in await asyncio.gather(*both)] == ["a", "b"]


async def test_stop_lets_running_requests_finish(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serving(spec("waits", options={"gate": str(gate)}), grace_s=30) as registry:
        model = registry.get("waits")
        running = asyncio.create_task(ask(model, "running"))
        await until(lambda: bool(model._keepers[0].inside))
        stopping = asyncio.create_task(model.stop(30))
        await asyncio.sleep(0)
        assert isinstance(await ask(model, "late"), ModelUnavailable)
        gate.touch()
        assert label(await running) == "running"
        await stopping
