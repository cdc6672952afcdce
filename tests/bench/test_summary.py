"""The figures of a stage, from requests whose times are written down."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.bench.caller import Outcome
from gateway.bench.result import Spread, Stage
from gateway.bench.summary import Window, summarize
from gateway.tasks.amounts import Amounts
from tests.bench.outcomes import outcome, tokens


def stage(*outcomes: Outcome, seconds: float = 10.0, most: int | None = None, first: bool = False) -> Stage:
    window = Window.of(outcomes, 0.0, seconds, most)
    return summarize(len(outcomes), outcomes, window, lambda one: one.reply.neurons, first=first)


@pytest.mark.parametrize(
    ("times", "seconds", "most", "answers_per_s"),
    [
        ([(0.0, 5.0), (5.0, 10.0)], 10.0, None, 0.2),
        ([(0.0, 5.0), (5.0, 20.0)], 10.0, None, (1 + 1 / 3) / 10),
        ([(0.0, 60.0)], 20.0, None, 1 / 60),
        ([(0.0, 60.0)], 20.0, 1, 1 / 60),
        ([(0.0, 0.5), (0.5, 1.0)], 10.0, 2, 2.0),
        ([(0.0, 0.5), (0.5, 1.0)], 10.0, None, 0.2),
    ],
    ids=["within", "one goes on", "slower", "slower and the last", "nothing more to ask", "then told to wait"],
)
def test_a_request_counts_with_the_share_of_its_time_that_was_measured(
    times: list[tuple[float, float]], seconds: float, most: int | None, answers_per_s: float
) -> None:
    found = stage(*(outcome(begun, ended) for begun, ended in times), seconds=seconds, most=most)
    assert found.answers_per_s == pytest.approx(answers_per_s)
    assert found.answered == len(times)


def test_percentiles_are_of_whole_requests_and_of_answered_ones_alone() -> None:
    found = stage(*(outcome(0.0, float(second)) for second in range(1, 101)), outcome(0.0, 500.0, "3043"))
    assert found.latency_s == Spread(p50=50.0, p99=99.0)
    assert (found.answered, found.failed) == (100, {"3043": 1})


def test_every_fault_is_counted_by_its_code() -> None:
    codes = ["3043", "3043", "time-out", "cut off"]
    found = stage(*(outcome(0.0, 1.0, code) for code in codes))
    assert found.failed == {"3043": 2, "time-out": 1, "cut off": 1}
    assert (found.answered, found.latency_s, found.answers_per_s) == (0, None, 0.0)


def test_waiting_is_part_of_the_latency_and_of_the_time_to_the_first_token() -> None:
    waited = outcome(0.0, 10.0, seconds=4.0, first_s=1.0, last_s=4.0, usage=tokens(5, 31))
    waited.waits = Counter({"3040": 2})
    found = stage(waited, first=True)
    assert found.waited == {"3040": 2}
    assert found.latency_s == Spread(p50=10.0, p99=10.0)
    assert found.first_s == Spread(p50=7.0, p99=7.0)
    assert found.stream_tokens_per_s == Spread(p50=10.0, p99=10.0)
    assert (found.tokens_per_s, found.input_tokens_per_s) == (3.1, 0.5)


def test_sound_is_that_of_the_answer_or_else_of_the_request() -> None:
    heard = stage(outcome(0.0, 2.0, amounts=Amounts(audio_s=8.0)), seconds=2.0)
    spoken = stage(outcome(0.0, 2.0, amounts=Amounts(characters=9), audio_s=1.0), seconds=2.0)
    assert (heard.audio_per_s, spoken.audio_per_s) == (4.0, 0.5)
    assert (heard.real_time_factor, spoken.real_time_factor) == (Spread(p50=0.25, p99=0.25), Spread(p50=2.0, p99=2.0))


@pytest.mark.parametrize(("neurons", "total"), [((1.0, 2.0), 3.0), ((1.0, None), None), ((0.0, 0.0), 0.0)])
def test_neurons_are_known_only_if_every_answer_has_them(
    neurons: tuple[float | None, ...], total: float | None
) -> None:
    found = stage(*(outcome(0.0, 10.0, neurons=each) for each in neurons))
    assert found.neurons == total
    assert found.neurons_per_s == (None if total is None else total / 10)
