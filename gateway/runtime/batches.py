"""Answers batches in the background, however long they take; knows no route."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
import structlog

from gateway.config import MIB
from gateway.errors import GatewayError, InternalError, Overloaded, RequestTimeout, WorkerLost
from gateway.runtime.batch_store import Batch, BatchStore, Item, Mark, Outcome, Progress
from gateway.runtime.model import Model
from gateway.tasks import TASKS, Origin, Task, TaskInput
from gateway.tasks.cost import Unit

MAX_PENDING, MAX_PENDING_BYTES = 1_000, 256 * MIB
# What an item takes in memory besides its input.
ITEM_BYTES = 200
FULL = "the batch cannot be kept now, please try again."
# An item may share a worker's fate with a neighbour, or wait too long behind others, but not again and again.
MAX_TRIES = 3
AGAIN_S, SWEEP_S = 1.0, 3600.0
# What was fetched for an item is let go while it waits to try again, and then fetched anew.
FETCHED_AT_ONCE, FETCH_AGAIN_S = 16, 15.0
# From a request that names media by address to its input; raises `GatewayError`, `Overloaded` if it may be tried again.
Complete = Callable[[Model, Task, Any, Mapping[Unit, int]], Awaitable[TaskInput]]
log = structlog.get_logger("gateway.batch")


class Batches:
    """Every batch that was taken is answered, item by item, also by the next process if this one ends.

    An item that finds no room waits and tries again: batches use what interactive requests leave. Of one batch at
    most as many items as its model takes at once are under way, and of all batches at most `FETCHED_AT_ONCE` with media
    that had to be fetched.
    """

    def __init__(self, store: BatchStore, find: Callable[[str], Model], complete: Complete) -> None:
        self._store = store
        self._find = find
        self._complete = complete
        self._fetched = asyncio.Semaphore(FETCHED_AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._pending_bytes: dict[str, int] = {}
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on with what an earlier process left."""
        self._sweeping = asyncio.create_task(self._sweep())
        for id in await asyncio.to_thread(self._store.ids):
            progress = await asyncio.to_thread(self._store.recover, id)
            if progress is not None and not progress.is_done:
                self._begin(progress)

    async def stop(self) -> None:
        """Leave what is not done to the next process."""
        tasks = [*self._running.values(), *([self._sweeping] if self._sweeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(
        self, account: str, model: str, task: Task, items: list[Item], max_cost: Mapping[Unit, int]
    ) -> Batch:
        """Take a batch; raises `Overloaded` if too much is pending, or there is no room to keep it."""
        if len(self._running) >= MAX_PENDING or sum(self._pending_bytes.values()) + _size(items) > MAX_PENDING_BYTES:
            raise Overloaded
        try:
            batch = await asyncio.to_thread(self._store.add, account, model, task.shape, items, max_cost)
        except OSError as error:
            log.error("batch not kept", reason=str(error))
            raise Overloaded(FULL) from error
        self._begin(Progress(batch))
        return batch

    async def find(self, id: str, account: str) -> Progress | None:
        """The account's batch of that id, and what of it is finished; None if it has none."""
        progress = await asyncio.to_thread(self._store.find, id)
        return progress if progress is not None and progress.batch.account == account else None

    def outcomes(self, progress: Progress) -> Iterator[Outcome]:
        """What is finished, read from the disk one by one; raises `OSError`."""
        return self._store.outcomes(progress)

    def _begin(self, progress: Progress) -> None:
        id = progress.batch.id
        self._running[id] = task = asyncio.create_task(self._run(progress), name=f"batch:{id}")
        self._pending_bytes[id] = _size(progress.batch.items)
        task.add_done_callback(lambda _: self._forget(id))

    def _forget(self, id: str) -> None:
        self._running.pop(id, None)
        self._pending_bytes.pop(id, None)

    async def _run(self, progress: Progress) -> None:
        batch, done = progress.batch, progress.done.keys()
        try:
            model = self._find(batch.model)
            room, writing = asyncio.Semaphore(model.spec.max_batch_items), asyncio.Lock()
            async with asyncio.TaskGroup() as group:
                for index, item in enumerate(batch.items):
                    if index not in done:
                        await room.acquire()
                        group.create_task(self._answer(batch, model, index, item, room, writing))
        except GatewayError as error:
            for index in set(range(len(batch.items))) - done:
                await asyncio.to_thread(self._store.append, batch, failed(index, error, batch.id))
        except Exception:
            log.exception("batch failed", batch=batch.id, model=batch.model)

    async def _answer(
        self, batch: Batch, model: Model, index: int, item: Item, room: asyncio.Semaphore, writing: asyncio.Lock
    ) -> None:
        try:
            outcome = await self._outcome(batch, model, index, item)
            async with writing:
                if not self._store.has_room(len(outcome.body)):
                    outcome = failed(index, Overloaded(FULL), batch.id)
                await asyncio.to_thread(self._store.append, batch, outcome)
        finally:
            room.release()

    async def _outcome(self, batch: Batch, model: Model, index: int, item: Item) -> Outcome:
        task = TASKS.get(model.task.name, batch.shape).form_of(msgspec.msgpack.decode(item.input))
        # Answers have ids of their own, made of the request's.
        origin = Origin(f"{batch.id}-{index}", batch.account, batch.model)
        turn = self._fetched if item.has_addresses else contextlib.nullcontext()
        tries = 0
        while True:
            try:
                async with turn:
                    input = await self._input(batch, model, task, item)
                    answer = await model.infer(input, origin, task)
            except Overloaded:
                await asyncio.sleep(FETCH_AGAIN_S if item.has_addresses else AGAIN_S)
            except GatewayError as error:
                tries += 1
                if tries >= MAX_TRIES or not isinstance(error, RequestTimeout | WorkerLost):
                    return failed(index, error, batch.id)
            except Exception:
                log.exception("batch item failed", batch=batch.id, item=index)
                return failed(index, InternalError(), batch.id)
            else:
                usage = answer.usage
                tokens = (usage.prompt_tokens, usage.completion_tokens) if usage is not None else (0, 0)
                return Outcome(Mark(index, True, *tokens), answer.body)

    async def _input(self, batch: Batch, model: Model, task: Task, item: Item) -> TaskInput:
        """What the item asks, with its media fetched."""
        values = msgspec.msgpack.decode(item.input)
        if item.has_addresses:
            return await self._complete(model, task, values, batch.max_cost)
        return task.input.model_validate(values)

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._store.sweep)
            await asyncio.sleep(SWEEP_S)


def _size(items: Sequence[Item]) -> int:
    return sum(len(item.input) + ITEM_BYTES for item in items)


def failed(index: int, error: GatewayError, request_id: str) -> Outcome:
    """The outcome of an item that cannot be answered."""
    return Outcome(Mark(index, False), orjson.dumps([{"message": error.message(request_id), "code": error.code}]))
