"""One timer bounds every wait, and nobody else's cancellation is taken for its end."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.runtime.patience import Patience


async def test_a_wait_beyond_the_limit_is_a_timeout_and_the_task_goes_on() -> None:
    with contextlib.closing(Patience(0.01)) as patience:
        for _ in range(2):
            with pytest.raises(TimeoutError), patience:
                await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_wait_has_the_whole_limit() -> None:
    loop = asyncio.get_running_loop()
    with contextlib.closing(Patience(0.2)) as patience:
        began = loop.time()
        while loop.time() - began < 0.3:
            with patience:
                await asyncio.sleep(0)
        last = loop.time()
        with pytest.raises(TimeoutError), patience:
            await asyncio.Event().wait()
    assert loop.time() - last >= 0.19  # no less than it promises; more is the machine's business


async def test_time_between_waits_does_not_count() -> None:
    looked = asyncio.Event()
    with contextlib.closing(Patience(0.01)) as patience:
        with patience:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.02, looked.set)
        await looked.wait()
        with patience:
            await asyncio.sleep(0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    entered = asyncio.Event()

    async def wait() -> None:
        with contextlib.closing(Patience(60)) as patience, patience:
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_fails_inside_a_wait_is_passed_on() -> None:
    with contextlib.closing(Patience(60)) as patience, pytest.raises(KeyError), patience:
        raise KeyError
