"""The queue alone: order, bounds, batches."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Overloaded
from gateway.runtime.framing import pack
from gateway.runtime.messages import Job
from gateway.runtime.queue import MAX_PADDING, BatchQueue, Budget
from gateway.runtime.request import Request
from gateway.tasks import Extent


def request(length: int, rows: int = 1, size: int = 10) -> Request:
    job = Job(Request.next_id(), "r", False, msgspec.Raw(pack(b"x" * size)))
    return Request(job, Extent(rows, length), deadline=0.0)


async def test_takes_the_oldest_first_and_its_nearest_in_length() -> None:
    queue = BatchQueue(10, 10_000)
    waiting = [request(length) for length in (10, 500, 11, 480, 9)]
    for one in waiting:
        queue.submit(one)
    assert [r.extent.length for r in queue.take(Budget(8, 10_000))] == [10, 11, 9]
    assert [r.extent.length for r in queue.take(Budget(8, 10_000))] == [500, 480]
    assert queue.take(Budget(8, 10_000)) == []


async def test_lengths_do_not_matter_where_nothing_is_padded() -> None:
    queue = BatchQueue(10, 10_000)
    for length in (10, 500, 11, 480, 9):
        queue.submit(request(length))
    assert [r.extent.length for r in queue.take(Budget(4, 900, pads=False))] == [10, 500, 11]
    assert [r.extent.length for r in queue.take(Budget(4, 900, pads=False))] == [480, 9]


async def test_refuses_one_item_and_one_byte_too_many() -> None:
    queue = BatchQueue(2, 1000)
    queue.submit(request(1))
    queue.submit(request(1))
    with pytest.raises(Overloaded):
        queue.submit(request(1))
    by_bytes = BatchQueue(10, 100)
    by_bytes.submit(request(1, size=90))
    with pytest.raises(Overloaded):
        by_bytes.submit(request(1, size=90))


async def test_a_request_over_the_budget_comes_alone() -> None:
    queue = BatchQueue(10, 10_000)
    big, small = request(100, rows=50), request(100)
    queue.submit(big)
    queue.submit(small)
    assert queue.take(Budget(8, 100)) == [big]
    assert queue.take(Budget(8, 100)) == [small]


async def test_a_lone_request_waits_for_an_empty_worker_and_comes_alone() -> None:
    queue = BatchQueue(10, 10_000)
    lone, other = request(5), request(5)
    queue.submit(other)
    lone.alone = True
    queue.put_back([lone])
    assert queue.take(Budget(8, 100), busy=True) == []
    assert queue.take(Budget(8, 100)) == [lone]
    assert queue.take(Budget(8, 100)) == [other]


async def test_who_leaves_is_forgotten_with_its_bytes() -> None:
    queue = BatchQueue(10, 10_000)
    one = request(5)
    queue.submit(one)
    assert queue.discard(one)
    assert not queue.discard(one)
    assert (len(queue), queue.size_bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 8)), min_size=1, max_size=40), st.integers(1, 16))
def test_every_request_leaves_once_and_every_batch_keeps_its_bounds(shapes: list[tuple[int, int]], items: int) -> None:
    import asyncio

    async def drain() -> None:
        queue, budget = BatchQueue(100, 1 << 20), Budget(items, 4000)
        waiting = [request(length, rows) for length, rows in shapes]
        for one in waiting:
            queue.submit(one)
        left = list(waiting)
        while left:
            batch = queue.take(budget)
            assert batch[0] is left[0]
            for one in batch:
                left.remove(one)
            if len(batch) > 1:
                rows = sum(r.extent.rows for r in batch)
                padded = rows * max(r.extent.length for r in batch)
                work = sum(r.extent.rows * r.extent.length for r in batch)
                assert rows <= budget.items
                assert padded <= budget.tokens
                assert padded <= MAX_PADDING * work
        assert len(queue) == 0
        assert queue.size_bytes == 0

    asyncio.run(drain())
