"""Many requests over many connections at once, and how long they took; knows no route and no model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchmarks.client import Address, Connection, Reply


@dataclass(frozen=True)
class Load:
    """What a run of requests took, and their answers in the order of the requests."""

    seconds: float
    replies: Sequence[Reply]


class Refused(Exception):
    """An answer other than 200; the text has the start of it."""


async def drive(
    address: Address, requests: Sequence[bytes], connections: int = 1, *, reuse: bool = True, limit_s: float = 300.0
) -> Load:
    """Send the requests over that many connections, each sending its next one when it has its answer.

    Connecting is not part of the time, except without `reuse`, which opens a new connection for every request.
    Raises `Refused`, `ConnectionError`, or `TimeoutError` after `limit_s`.
    """
    opened = [await Connection.open(address) for _ in range(min(connections, len(requests)))]
    replies: list[Reply] = [Reply()] * len(requests)
    waiting = iter(enumerate(requests))

    async def work(slot: int) -> None:
        for index, request in waiting:
            replies[index] = reply = await opened[slot].exchange(request)
            if reply.status != 200:
                raise Refused(f"HTTP {reply.status}: {reply.body[:300].decode(errors='replace')}")
            if not reuse:
                opened[slot].close()
                opened[slot] = await Connection.open(address)

    try:
        async with asyncio.timeout(limit_s):
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for slot in range(len(opened)):
                    group.create_task(work(slot))
            return Load(time.perf_counter() - started, replies)
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    finally:
        for connection in opened:
            connection.close()
