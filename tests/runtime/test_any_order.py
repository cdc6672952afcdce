"""Whatever happens in whatever order, each request has one end, and no process and no reservation is left."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from gateway.config import ModelSpec
from gateway.errors import GatewayError
from gateway.runtime.memory import HOST
from gateway.runtime.model import Model
from gateway.runtime.registry import Registry
from gateway.tasks import Origin
from tests.runtime.conftest import NoWeights, means, spec

BATCHED, STREAMED = ("a", "b"), "s"
NAMES = (*BATCHED, STREAMED)
GENEROUS_S = 60.0


def rows(items: int) -> list[ModelSpec]:
    """Three models of which two fit at once; `items` only makes the rows differ."""
    common: dict[str, Any] = {"memory_mib": 100, "memory_patience_s": 5, "timeout_s": 20}
    replicas = {"min": 1, "max": 2, "queue_delay_s": 0.05, "idle_s": 0.05}
    batched = [spec("dies", name=name, max_batch_items=items, replicas=replicas, **common) for name in BATCHED]
    return [*batched, spec("counts", name=STREAMED, max_streams=items, **common)]


async def answer(model: Model, text: str) -> str:
    return (await model.infer(model.task.parse({"text": text}), Origin("r"))).body.decode()


async def stream(model: Model, prompt: str) -> str:
    input = model.task.parse({"prompt": prompt, "max_tokens": 20})
    return "".join([piece.text async for piece in model.stream(input, Origin("r"))])


class AnyOrder(RuleBasedStateMachine):
    """A registry under every rule; each runs on one event loop, so the rules overlap with what is going on."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = uvloop.new_event_loop()
        self.asked: list[tuple[str, asyncio.Task[str]]] = []
        self.pids: set[int] = set()
        self.means = means(250)
        self.registry = Registry(rows(1), self.means)
        self.loop.run_until_complete(self.registry.start())

    @rule(name=st.sampled_from(NAMES), text=st.sampled_from(("x", "y", "die")), times=st.integers(1, 4))
    def ask(self, name: str, text: str, times: int) -> None:
        model = self.registry.get(name)
        for _ in range(times):
            self.asked.append((text, self.loop.create_task((stream if name == STREAMED else answer)(model, text))))
        self.turn(0)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.asked))[1].cancel()
        self.turn(0)

    @rule(seconds=st.sampled_from((0.0, 0.01, 0.2)))
    def turn(self, seconds: float) -> None:
        """Let things go on."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        for model in self.registry:
            self.pids |= {keeper.worker.pid for keeper in model._keepers if keeper.worker and keeper.worker.pid}
        assert self.means.steward.ledger.free_bytes(HOST) >= 0

    @rule(name=st.sampled_from(NAMES))
    def unload(self, name: str) -> None:
        for keeper in self.registry.get(name)._keepers:
            keeper.leave("idle")

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from((signal.SIGKILL, signal.SIGSTOP)))
    def harm(self, name: str, how: signal.Signals) -> None:
        for keeper in self.registry.get(name)._keepers:
            if keeper.state == "ready" and keeper.worker is not None and keeper.worker.pid is not None:
                os.kill(keeper.worker.pid, how)

    @rule(items=st.integers(1, 8))
    def change(self, items: int) -> None:
        self.loop.run_until_complete(asyncio.wait_for(self.registry.change(rows(items), NoWeights()), GENEROUS_S))

    def teardown(self) -> None:
        try:
            self.loop.run_until_complete(asyncio.wait_for(self.end(), GENEROUS_S))
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()

    async def end(self) -> None:
        ends = await asyncio.gather(*(task for _, task in self.asked), return_exceptions=True)
        await self.registry.stop(5.0)
        for (text, _), end in zip(self.asked, ends, strict=True):
            assert isinstance(end, GatewayError | asyncio.CancelledError) or text in str(end)
        assert self.means.steward.ledger.reserved_bytes(HOST) == 0
        assert not [pid for pid in self.pids if os.path.exists(f"/proc/{pid}")]  # noqa: ASYNC240


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=5, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
