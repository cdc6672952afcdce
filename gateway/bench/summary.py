"""From single requests to the figures of a stage; sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.bench.caller import Outcome
from gateway.bench.figures import percentile
from gateway.bench.result import Spread, Stage

Neurons = Callable[[Outcome], float | None]


@dataclass(frozen=True)
class Window:
    """The time that is measured, in seconds of `time.perf_counter`."""

    start_s: float
    end_s: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], start_s: float, seconds: float, most: int | None) -> Window:
        """So many seconds, or until the last answer if no more than `most` were to be asked.

        Who is told to come again after the end has stopped asking, but that time counts: it is spent waiting.
        """
        end_s = start_s + seconds
        if most is not None and len(outcomes) >= most:
            end_s = min(end_s, max(outcome.ended_s for outcome in outcomes))
        return cls(start_s, end_s)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s

    def share(self, outcome: Outcome) -> float:
        """How much of a request's time lay within."""
        within_s = min(outcome.ended_s, self.end_s) - max(outcome.begun_s, self.start_s)
        return max(0.0, within_s) / max(outcome.ended_s - outcome.begun_s, 1e-9)

    def rate(self, amounts: Iterable[tuple[Outcome, float]]) -> float:
        """So much a second, when each request made so much of it, evenly."""
        return sum(self.share(outcome) * amount for outcome, amount in amounts) / max(self.seconds, 1e-9)


def summarize(connections: int, outcomes: Sequence[Outcome], window: Window, neurons: Neurons, *, first: bool) -> Stage:
    """The figures; with `first`, answers come in pieces, and the time to the first of them is told."""
    answered = [outcome for outcome in outcomes if outcome.reply.fault is None]
    made = [(one, tokens) for one in answered if (tokens := one.reply.output_tokens) is not None]
    read = [(one, tokens) for one in answered if (tokens := one.reply.usage.get("prompt_tokens")) is not None]
    sound = [(one, seconds) for one in answered if (seconds := _sound_s(one))]
    spent = [neurons(outcome) for outcome in answered]
    known = [cost for cost in spent if cost is not None] if None not in spent else []
    return Stage(
        connections=connections,
        seconds=window.seconds,
        answered=len(answered),
        failed=Counter(outcome.reply.fault.code for outcome in outcomes if outcome.reply.fault is not None),
        waited=sum((outcome.waits for outcome in outcomes), Counter()),
        answers_per_s=window.rate((outcome, 1.0) for outcome in answered),
        latency_s=_spread([outcome.ended_s - outcome.begun_s for outcome in answered]),
        first_s=_spread([_first_s(one) for one in answered if one.reply.first_s is not None]) if first else None,
        tokens_per_s=window.rate(made) if made else None,
        stream_tokens_per_s=_spread(list(_stream_rates(made))) if first else None,
        input_tokens_per_s=window.rate(read) if read else None,
        audio_per_s=window.rate(sound) if sound else None,
        real_time_factor=_spread([(one.ended_s - one.begun_s) / seconds for one, seconds in sound]),
        neurons=sum(known) if known else None,
        neurons_per_s=window.rate(zip(answered, known, strict=True)) if known else None,
    )


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(p50=percentile(values, 50), p99=percentile(values, 99)) if values else None


def _first_s(outcome: Outcome) -> float:
    """From the first try on: who is asked to come again waits as well."""
    return outcome.ended_s - outcome.begun_s - outcome.reply.seconds + (outcome.reply.first_s or 0.0)


def _sound_s(outcome: Outcome) -> float | None:
    """How long the sound of the answer is or, if it has none, that of the request."""
    return outcome.reply.audio_s or outcome.request.amounts.audio_s


def _stream_rates(made: Iterable[tuple[Outcome, float]]) -> Iterable[float]:
    """Tokens a second of each stream, from its first token on."""
    for outcome, tokens in made:
        reply = outcome.reply
        if reply.first_s is not None and reply.last_s > reply.first_s and tokens > 1:
            yield (tokens - 1) / (reply.last_s - reply.first_s)
