"""Sessions stay on one replica while it can take them, and lose nothing when it cannot."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
import orjson

from gateway.runtime.affinity import MAX_SESSIONS, Affinity
from gateway.runtime.framing import pack
from gateway.runtime.messages import Job
from gateway.runtime.queue import BatchQueue, Budget
from gateway.runtime.request import Request
from gateway.tasks import Extent, Origin
from tests.runtime.conftest import Serve, until

BUDGET = Budget(10, 10_000)


@dataclass
class Place:
    can_take: bool = True


async def request(session: str = "") -> Request:
    job = Job(Request.next_id(), "r", False, msgspec.Raw(pack(b"x")))
    return Request(job, Extent(1, 1), asyncio.get_running_loop().time() + 60, session)


async def queue_of(*sessions: str) -> BatchQueue:
    queue = BatchQueue(100, 1 << 20)
    for session in sessions:
        queue.submit(await request(session))
    return queue


def taken(queue: BatchQueue, taker: Place) -> list[str]:
    return [request.session for request in queue.take(BUDGET, taker=taker)]


async def test_a_session_waits_for_its_replica_and_others_do_not() -> None:
    one, other = Place(), Place()
    queue = await queue_of("a")
    assert taken(queue, one) == ["a"]
    for session in ("a", "", "b"):
        queue.submit(await request(session))
    assert taken(queue, other) == ["", "b"]
    assert taken(queue, one) == ["a"]


async def test_a_session_moves_when_its_replica_is_full_or_gone() -> None:
    one, other = Place(), Place()
    queue = await queue_of("a")
    taken(queue, one)
    one.can_take = False
    queue.submit(await request("a"))
    assert taken(queue, other) == ["a"]
    one.can_take = True
    queue.submit(await request("a"))
    assert taken(queue, one) == []
    assert taken(queue, other) == ["a"]


def test_sessions_are_forgotten_in_the_order_of_their_last_request() -> None:
    affinity, one, other = Affinity(), Place(), Place()
    for number in range(MAX_SESSIONS):
        affinity.note(str(number), one)
    affinity.note("0", one)
    affinity.note("new", one)
    assert not affinity.allows("0", other)
    assert affinity.allows("1", other)


async def test_requests_of_a_session_are_answered_by_one_process(serve: Serve) -> None:
    async with serve("names_itself", task="text-generation", replicas=3, preload=True, max_streams=2) as model:
        await until(lambda: model.status()["loaded"] == 3)

        async def ask(session: str) -> str:
            answer = await model.infer(model.task.parse({"prompt": "who"}), Origin("r", "account", "m", session))
            return str(orjson.loads(answer.body)["response"])

        everyone = set(await asyncio.gather(*(ask("") for _ in range(60))))
        assert len(everyone) > 1, "one replica answered all: nothing to tell apart"
        for session in ("a", "b", "c"):
            assert len({await ask(session) for _ in range(10)}) == 1
