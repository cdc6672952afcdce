"""A function run in steps moves only while somebody waits for it, and ends where it is given up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gateway.engines.diffusion.walk import Walk


def test_each_call_runs_one_stretch() -> None:
    seen: list[int] = []

    def work(pause: Callable[[], None]) -> str:
        for number in range(3):
            seen.append(number)
            pause()
        return "done"

    walk = Walk(work)
    assert seen == [], "nothing happens before the first call"
    assert [(walk.advance(), list(seen)) for _ in range(3)] == [(None, [0]), (None, [0, 1]), (None, [0, 1, 2])]
    assert walk.advance() == "done"
    walk.abandon()


def test_what_the_function_raises_comes_to_the_caller() -> None:
    def work(pause: Callable[[], None]) -> None:
        pause()
        raise ValueError("no second stretch")

    walk = Walk(work)
    assert walk.advance() is None
    with pytest.raises(ValueError, match="no second stretch"):
        walk.advance()
    walk.abandon()


@pytest.mark.parametrize("stretches", [0, 1, 5])
def test_a_function_that_is_given_up_cleans_up_and_leaves_no_thread(stretches: int) -> None:
    events: list[str] = []

    def work(pause: Callable[[], None]) -> None:
        events.append("begun")
        try:
            while True:
                pause()
        finally:
            events.append("cleaned up")

    before = threading.active_count()
    walk = Walk(work)
    for _ in range(stretches):
        assert walk.advance() is None
    walk.abandon()
    assert events == (["begun", "cleaned up"] if stretches else [])
    assert threading.active_count() == before
