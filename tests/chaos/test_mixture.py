"""Two thousand requests of many kinds while workers are killed: each gets one right answer, and nothing is left."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.mixture import BYSTANDER, VICTIMS, Exchange, exchange, rows
from tests.chaos.test_front import session_processes
from tests.chaos.test_life import Caller
from tests.chaos.witness import at, belongings, events, left_behind, watched, worker_of
from tests.waiting import eventually

REQUESTS, CALLERS, KILLS = 2000, 16, 24
NOTICED_S = 2.0
SEED = int(os.environ.get("CHAOS_SEED", "20260"))
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)


@dataclass
class Harm:
    """Kills workers at given numbers of requests, each one that is loaded at that time."""

    gateway: Caller
    seed: Random
    done: dict[int, tuple[str, float]] = field(default_factory=dict)

    def strike(self) -> None:
        """End the worker of some victim, if it is there, and remember when."""
        name, how = self.seed.choice(VICTIMS), self.seed.choice(SIGNALS)
        worker = worker_of(self.gateway, name)
        if worker in self.done or self.gateway.state(name) != "ready":
            return
        try:
            os.kill(worker, how)
        except ProcessLookupError:
            return
        self.done[worker] = (how.name, time.time())


def run(gateway: Caller, requests: list[Exchange], harm: Harm) -> list[httpx.Response]:
    """The answers in the order of the requests; every so many requests harm is done."""
    numbers, every = count(1), len(requests) // KILLS
    limits = httpx.Limits(max_connections=CALLERS)
    with httpx.Client(headers=gateway.http.headers, timeout=120, limits=limits) as http:

        def call(asked: Exchange) -> httpx.Response:
            if next(numbers) % every == 0:
                harm.strike()
            return http.post(gateway.server.base_url + asked.path(), content=asked.body, headers=asked.headers)

        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            return list(pool.map(call, requests))


def counted(gateway: Caller) -> int:
    """How many answers to POST requests of this test the gateway itself counted."""
    text = gateway.http.get(f"http://127.0.0.1:{gateway.server.port}/metrics").text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return round(sum(s.value for s in samples if s.name == "gateway_requests_total" and s.labels["task"]))


def test_two_thousand_requests_and_random_kills(tmp_path: Path) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    seed = Random(SEED)
    requests = [exchange(number, seed) for number in range(REQUESTS)]
    told = f"reproduce with CHAOS_SEED={SEED}"
    victims = ", preload: true, timeout_s: 60, run_limit_s: 20"
    with watched(tmp_path, *rows(victims), TMPDIR=str(scratch)) as gateway:
        assert eventually(lambda: gateway.ready()[0] == 200)
        assert gateway.ask(BYSTANDER, "warm").status_code == 200
        bystander, before, answered = worker_of(gateway, BYSTANDER), belongings(gateway, scratch), counted(gateway)
        harm = Harm(gateway, seed)
        answers = run(gateway, requests, harm)
        faults = [asked.fault(answer) for asked, answer in zip(requests, answers, strict=True)]
        assert [fault for fault in faults if fault] == [], told
        assert worker_of(gateway, BYSTANDER) == bystander, told
        assert eventually(lambda: gateway.ready()[0] == 200), told
        harmed = sum(asked.is_harmed(answer) for asked, answer in zip(requests, answers, strict=True))
        assert harmed <= len(harm.done) * CALLERS, told
        known = sum(asked.model != "nobody" for asked in requests)
        assert counted(gateway) - answered == known, told
        check_notices(gateway, harm, told)
        assert not left_behind(gateway, before, scratch), told
        session = gateway.server.process.pid
        assert gateway.server.stop() == 0
        assert eventually(lambda: session_processes(session) == [])
        assert list(scratch.iterdir()) == []
    succeeded = sum(answer.status_code == 200 for answer in answers)
    print(f"{succeeded} of {REQUESTS} succeeded, {harmed} were lost with {len(harm.done)} workers")  # noqa: T201


def check_notices(gateway: Caller, harm: Harm, told: str) -> None:
    """Each kill was noticed in time, by the gateway's own clock, and was followed by a load."""

    def losses() -> dict[int, float]:
        return {int(event["worker"]): at(event) for event in events(gateway, "worker lost")}

    assert len(harm.done) >= KILLS // 2, told
    eventually(lambda: losses().keys() == harm.done.keys())
    lost = losses()
    assert lost.keys() == harm.done.keys(), told
    late = {worker: lost[worker] - when for worker, (_, when) in harm.done.items() if lost[worker] - when > NOTICED_S}
    assert late == {}, told
    print({worker: (how, round(lost[worker] - when, 3)) for worker, (how, when) in harm.done.items()})  # noqa: T201
