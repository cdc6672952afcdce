"""Workers that give no sign of life are found, also when nobody asks them anything."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gateway.runtime.model import Model
from gateway.tasks import Origin
from tests.runtime.conftest import label, serving, spec, until


async def ask(model: Model, text: str) -> str:
    return label(await model.infer(model.task.parse({"text": text}), Origin("r")))


def pid_of(model: Model) -> int:
    worker = model._keepers[0].worker
    assert worker is not None
    assert worker.pid is not None
    return worker.pid


@pytest.mark.parametrize("preload", [True, False])
async def test_an_idle_worker_that_is_stopped_is_killed_and_replaced(preload: bool) -> None:
    async with serving(spec("echo", preload=preload)) as registry:
        model = registry.get("echo")
        assert await ask(model, "before") == "before"
        pid = pid_of(model)
        os.kill(pid, signal.SIGSTOP)
        if preload:
            await until(lambda: not registry.is_ready())
            await until(registry.is_ready)
            assert pid_of(model) != pid
        else:
            await until(lambda: model.state == "unloaded")
        assert await ask(model, "after") == "after"
        assert 'gateway_worker_restarts_total{model="echo",reason="stopped"} 1.0' in (
            registry._means.metrics.render()[0].decode()
        )


async def test_an_idle_worker_that_is_silent_is_not_ready_and_then_replaced() -> None:
    async with serving(spec("seizes", preload=True)) as registry:
        model = registry.get("seizes")
        assert await ask(model, "seize") == "seize"
        await until(lambda: model.state == "silent")
        assert not registry.is_ready()
        await until(registry.is_ready)
        assert await ask(model, "after") == "after"


async def test_a_worker_that_answers_late_is_spared() -> None:
    async with serving(spec("echo", preload=True)) as registry:
        model = registry.get("echo")
        assert await ask(model, "before") == "before"
        pid = pid_of(model)
        worker = model._keepers[0].worker
        assert worker is not None
        await until(lambda: worker.silent_s > 0)
        await until(lambda: worker.silent_s == 0)
        assert pid_of(model) == pid
        await asyncio.gather(*(ask(model, str(i)) for i in range(50)))
        assert pid_of(model) == pid
