"""The rate limiter by itself: never more than the limit in any minute, always open again, and nothing kept for long."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.rate import WINDOW_S, RateLimiter

# Powers of two, so that sums of them are exact.
TICK_S = 1 / 1024
pauses_s = st.lists(st.integers(0, 70_000).map(lambda ticks: ticks * TICK_S), min_size=1, max_size=80)
limits = st.integers(1, 9)


@settings(deadline=None)
@given(limits, pauses_s)
def test_no_minute_has_more_than_the_limit_and_less_is_never_refused(limit: int, pauses_s: list[float]) -> None:
    limiter, now_s, admitted = RateLimiter(), 1e6, list[float]()
    for pause_s in pauses_s:
        now_s += pause_s
        recent = sum(moment > now_s - WINDOW_S for moment in admitted)
        wait_s = limiter.admit("key", limit, now_s)
        assert (wait_s == 0) is (recent < limit)
        assert 0 <= wait_s <= WINDOW_S
        if not wait_s:
            admitted.append(now_s)
    for first in admitted:
        assert sum(first <= moment < first + WINDOW_S for moment in admitted) <= limit


@settings(deadline=None)
@given(limits, limits, pauses_s)
def test_who_waits_as_told_is_admitted_also_after_the_limit_was_lowered(
    before: int, after: int, pauses_s: list[float]
) -> None:
    limiter, now_s = RateLimiter(), 1e6
    for pause_s in pauses_s:
        now_s += pause_s / 64
        limiter.admit("key", before, now_s)
    wait_s = limiter.admit("key", after, now_s)
    assert wait_s == 0 or limiter.admit("key", after, now_s + wait_s - TICK_S) > 0
    assert limiter.admit("key", after + (wait_s == 0), now_s + wait_s) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20_000).map(lambda ticks: ticks * TICK_S)), max_size=120))
def test_each_is_limited_alone_and_nobody_is_remembered_without_need(requests: list[tuple[int, float]]) -> None:
    limiter, now_s, last = RateLimiter(), 0.0, dict[int, float]()
    for who, pause_s in requests:
        now_s += pause_s
        is_new = now_s - last.get(who, -WINDOW_S) >= WINDOW_S
        if limiter.admit(who, 1, now_s) == 0:
            last[who] = now_s
            assert is_new
        else:
            assert not is_new
    for round in range(len(limiter)):
        limiter.admit("other", 1, now_s + (round + 2) * WINDOW_S)
    assert len(limiter) == (1 if requests else 0)


def test_what_is_taken_back_does_not_count() -> None:
    limiter = RateLimiter()
    limiter.take_back("key", 5.0)
    assert limiter.admit("key", 1, 5.0) == 0
    limiter.take_back("key", 5.0)
    assert limiter.admit("key", 1, 5.0) == 0
    assert limiter.admit("key", 1, 5.0) == WINDOW_S


def test_a_request_that_is_taken_back_late_does_not_make_others_older() -> None:
    limiter = RateLimiter()
    assert [limiter.admit("key", 2, now_s) for now_s in (0.0, 50.0)] == [0, 0]
    limiter.take_back("key", 0.0)
    assert [limiter.admit("key", 2, now_s) for now_s in (61.0, 61.0)] == [0, 49.0]
    limiter.take_back("key", 0.0)
    assert limiter.admit("key", 2, 61.0) == 49.0
