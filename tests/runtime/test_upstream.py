"""Servers that a row's command starts live and die with the model, whoever ends first; nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.config import ModelSpec
from gateway.errors import ModelUnavailable, Overloaded, WorkerLost
from gateway.runtime.model import Model
from gateway.tasks import TASKS, Origin
from tests.engines.llm.upstream.scripted import Exchange, Scripted
from tests.runtime.conftest import serving, until

SMALL = Path(__file__).parents[1] / "fixtures" / "servers" / "small.py"
TASK = TASKS.get("text-generation")
ORIGIN = Origin("request")


def row(options: dict[str, Any], **fields: Any) -> ModelSpec:
    settings = {"timeout_s": 60, "load_timeout_s": 60, **fields}
    return ModelSpec(name="small", task=TASK.name, engine="llm", options=options, **settings)


@asynccontextmanager
async def started(mode: str = "serves", options: dict[str, Any] | None = None, **fields: Any) -> AsyncIterator[Model]:
    command = [sys.executable, str(SMALL), mode, "{port}"]
    async with serving(row({"command": command, **(options or {})}, **fields)) as registry:
        yield registry.get("small")


async def say(model: Model, word: str) -> str:
    answer = await model.infer(TASK.parse({"prompt": word}), ORIGIN)
    return str(orjson.loads(answer.body)["response"])


async def processes(model: Model) -> list[int]:
    """Descriptors of the server's processes: readable once they have ended."""
    return [os.pidfd_open(int(pid)) for pid in (await say(model, "pid")).split()]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def all_end(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        assert (await asyncio.to_thread(select.select, [descriptor], [], [], 60))[0], "a process is left"
        os.close(descriptor)


async def test_a_server_is_started_asked_and_stopped_with_all_it_started() -> None:
    async with started("parent") as model:
        assert await say(model, "hello") == "hello"
        status = model.status()
        assert str(status["served_by"]).startswith("upstream openai at 127.0.0.1:")
        assert (status["engine"], status["device"]) == ("llm", "upstream")
        servers = await processes(model)
        assert len(servers) == 2
    await all_end(servers)


async def test_a_server_that_will_not_end_is_killed() -> None:
    async with started("stubborn") as model:
        servers = await processes(model)
    await all_end(servers)


async def test_the_server_dies_with_a_killed_worker_and_both_come_back() -> None:
    async with started("parent", preload=True) as model:
        await until(lambda: model.state == "ready")
        servers = await processes(model)
        (keeper,) = model._keepers
        assert keeper.worker is not None
        keeper.worker.kill()
        await all_end(servers)
        again = await processes(model)
    await all_end(again)


async def test_the_server_dies_with_a_killed_guard_and_both_come_back() -> None:
    async with started(preload=True) as model:
        await until(lambda: model.state == "ready")
        pid = int((await say(model, "pid")).strip())
        servers = await processes(model)
        os.kill(_parent(pid), signal.SIGKILL)
        await all_end(servers)
        await until(lambda: model.state != "ready")
        assert int((await say(model, "pid")).strip()) != pid


async def test_a_server_killed_while_idle_is_noticed_and_replaced() -> None:
    async with started(preload=True) as model:
        await until(lambda: model.state == "ready")
        pid = int((await say(model, "pid")).strip())
        os.kill(pid, signal.SIGKILL)
        await until(lambda: model.state != "ready")
        await until(lambda: model.state == "ready")
        assert int((await say(model, "pid")).strip()) != pid


async def test_a_server_that_runs_and_says_nothing_is_replaced() -> None:
    async with started(preload=True, run_limit_s=1) as model:
        await until(lambda: model.state == "ready")
        pid = int((await say(model, "pid")).strip())
        servers = await processes(model)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: model.state != "ready")
        assert int((await say(model, "pid")).strip()) != pid
    await all_end(servers)


async def test_a_server_that_is_at_work_is_left_alone_though_it_says_nothing_else() -> None:
    async with started(run_limit_s=1) as model:
        assert await say(model, "work") == "work" + "." * 30


async def test_a_server_that_dies_in_the_middle_ends_every_stream_with_an_error() -> None:
    async with started() as model:
        bystander = model.stream(TASK.parse({"prompt": "wait", "stream": True}), ORIGIN)
        assert (await anext(bystander)).text == "wait"
        culprit = model.stream(TASK.parse({"prompt": "die", "stream": True}), ORIGIN)
        assert (await anext(culprit)).text == "die"
        for stream in (culprit, bystander):
            with pytest.raises(WorkerLost):
                await anext(stream)
        await until(lambda: model.state != "ready")
        assert await say(model, "hello") == "hello"


async def test_a_server_that_fails_to_start_is_the_reason() -> None:
    async with started("fails") as model:
        with pytest.raises(ModelUnavailable, match="ended with status 1 before it was ready; the log has its output"):
            await say(model, "hello")


async def test_a_command_that_does_not_exist_is_the_reason() -> None:
    async with serving(row({"command": ["/nowhere/vllm", "{port}"]})) as registry:
        with pytest.raises(ModelUnavailable, match="ended with status 127 before it was ready"):
            await say(registry.get("small"), "hello")


async def test_a_server_that_is_never_ready_is_given_up() -> None:
    async with started("never", {"ready_timeout_s": 0.5}) as model:
        with pytest.raises(ModelUnavailable, match=r"not ready within 0.5 s: it is still loading"):
            await say(model, "hello")


async def test_only_what_is_allowed_reaches_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"environment": {"SMALL_PORT": "{port}"}}
    async with started(options=options) as model:
        names = set((await say(model, "environment")).split())
    assert {"PATH", "SMALL_PORT", "HF_HUB_OFFLINE"} <= names
    assert not {name for name in names if name.startswith(("GATEWAY_", "PYTEST_"))}


async def test_when_to_come_again_reaches_the_caller() -> None:
    async with started() as model:
        with pytest.raises(Overloaded) as caught:
            await say(model, "busy")
        assert caught.value.retry_after_s == 9


async def test_a_model_whose_server_elsewhere_goes_is_not_ready_until_it_is_back() -> None:
    def hello(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(b'data: {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]}\n\n')

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        _answer(listener, hello)
        async with serving(row({"url": f"http://127.0.0.1:{port}/v1"}, preload=True)) as registry:
            model = registry.get("small")
            await until(lambda: model.state == "ready")
            assert await say(model, "hi") == "hello"
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            await until(lambda: model.state == "failed")
            assert not registry.is_ready()
            with pytest.raises(ModelUnavailable, match="not ready: it does not answer"):
                await say(model, "hi")
            again = stack.enter_context(socket.create_server(("127.0.0.1", port)))
            _answer(again, hello)
            await until(registry.is_ready)
            assert await say(model, "hi") == "hello"
            again.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket, script: Any) -> None:
    asyncio.get_running_loop().run_in_executor(None, Scripted(script).serve, listener)
