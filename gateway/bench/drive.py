"""Keeps so many connections busy for so long, each with one request after the other; knows no output."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from gateway.bench.caller import BenchFailed, Caller, EndpointGone, Outcome
from gateway.bench.endpoint import Endpoint, trust
from gateway.bench.loads import Load
from gateway.bench.result import Stage
from gateway.bench.summary import Neurons, Window, summarize

# A first answer may need the weights to be loaded.
FIRST_ANSWER_S = 900.0
# So many faults without an answer in between are no accident.
MOST_FAULTS = 100
_TICK_S = 0.2


class Watcher(Protocol):
    """Who is told how far it is."""

    def wait(self, what: str) -> None:
        """Something goes on that is not measured."""

    def begin(self, connections: int, seconds: float) -> None:
        """A stage begins."""

    def tick(self, elapsed_s: float, answered: int, failed: int) -> None:
        """It goes on."""

    def end(self, stage: Stage) -> None:
        """It is over."""


@dataclass(frozen=True)
class Plan:
    """How long each stage runs after its warm-up, and at most how many requests it makes."""

    seconds: float
    warm_up_s: float
    most: int | None
    timeout_s: float


class Drive:
    """Runs stages against one model. No two of its requests are alike."""

    def __init__(self, endpoint: Endpoint, model: str, load: Load, plan: Plan) -> None:
        self._endpoint = endpoint
        self._model = model
        self._load = load
        self._plan = plan
        self._numbers = itertools.count()
        self._trust = trust()

    async def first(self) -> Outcome:
        """One request, for which the model may have to be loaded; raises `EndpointGone`."""
        async with AsyncExitStack() as stack:
            (caller,) = await self._connect(stack, 1)
            return await caller.ask(self._load.request(next(self._numbers)), time.perf_counter() + FIRST_ANSWER_S)

    async def stage(self, connections: int, neurons: Neurons, watcher: Watcher) -> Stage:
        """Warm up, then measure; raises `BenchFailed` if the endpoint goes away or only fails."""
        plan = self._plan
        async with AsyncExitStack() as stack:
            callers = await self._connect(stack, connections)
            if plan.warm_up_s:
                watcher.wait("warming up")
                await self._turn(callers, plan.warm_up_s, None, None)
            watcher.begin(connections, plan.seconds)
            start_s, cpu_s = time.perf_counter(), time.process_time()
            outcomes = await self._turn(callers, plan.seconds, plan.most, watcher)
            busy = (time.process_time() - cpu_s) / max(time.perf_counter() - start_s, 1e-9)
        window = Window.of(outcomes, start_s, plan.seconds, plan.most)
        in_pieces = self._load.streams or self._load.form.streams_media
        found = summarize(connections, outcomes, window, neurons, first=in_pieces)
        found = found.model_copy(update={"client_cores": busy})
        watcher.end(found)
        return found

    async def _connect(self, stack: AsyncExitStack, connections: int) -> list[Caller]:
        clients = [self._endpoint.connection(self._plan.timeout_s, self._trust) for _ in range(connections)]
        return [
            Caller(self._endpoint, self._model, self._load, await stack.enter_async_context(http)) for http in clients
        ]

    async def _turn(
        self, callers: Sequence[Caller], seconds: float, most: int | None, watcher: Watcher | None
    ) -> list[Outcome]:
        """All that was begun within so many seconds, to its end; each connection asks at least once."""
        turn = _Turn(time.perf_counter(), seconds, most)
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(turn.report(watcher)) if watcher is not None else None
                asking = [group.create_task(self._work(caller, turn)) for caller in callers]
                await asyncio.wait(asking)
                if ticking is not None:
                    ticking.cancel()
        except ExceptionGroup as group_error:
            raise _explained(group_error.exceptions[0], len(callers), turn) from None
        return turn.outcomes

    async def _work(self, caller: Caller, turn: _Turn) -> None:
        while turn.goes_on():
            request = self._load.request(next(self._numbers))
            outcome = await caller.ask(request, turn.until_s)
            turn.take(outcome)
            if outcome.reply.is_busy:  # It was asked to come again when the time is over.
                return


def _explained(error: Exception, connections: int, turn: _Turn) -> Exception:
    if not isinstance(error, EndpointGone):
        return error
    answered = sum(outcome.reply.fault is None for outcome in turn.outcomes)
    return EndpointGone(
        f"{error.detail}: it ended while it was measured, after {answered} answers over {connections} connections; "
        "look into its log, start it again and repeat the run"
    )


class _Turn:
    """What was asked in one stretch of time."""

    def __init__(self, start_s: float, seconds: float, most: int | None) -> None:
        self.until_s = start_s + seconds
        self.outcomes: list[Outcome] = []
        self._start_s = start_s
        self._left = most
        self._faults = 0

    def goes_on(self) -> bool:
        """Whether one more request may be begun; it counts as begun."""
        if time.perf_counter() >= self.until_s or self._left == 0:
            return False
        self._left = None if self._left is None else self._left - 1
        return True

    def take(self, outcome: Outcome) -> None:
        """Note how a request went; raises `BenchFailed` where nothing else is to be expected."""
        self.outcomes.append(outcome)
        fault = outcome.reply.fault
        self._faults = 0 if fault is None else self._faults + 1
        if fault is not None and self._faults >= MOST_FAULTS:
            raise BenchFailed(f"{MOST_FAULTS} requests in a row failed, the last with {fault.code}: {fault.message}")

    async def report(self, watcher: Watcher) -> None:
        """Tell again and again how far it is."""
        while True:
            failed = sum(outcome.reply.fault is not None for outcome in self.outcomes)
            watcher.tick(time.perf_counter() - self._start_s, len(self.outcomes) - failed, failed)
            await asyncio.sleep(_TICK_S)
