"""What measured work costs at Cloudflare and here: arithmetic on neurons, watts and hours; measures nothing.

1,000 neurons cost 0.011 USD; `gateway/tasks/neurons.py` says how answers are counted in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.bench.caller import Outcome
from gateway.bench.result import OwnCost, Run, Stage
from gateway.properties import Price
from gateway.tasks.neurons import USD_PER_NEURON, Tariff

FREE_NEURONS_PER_DAY = 10_000
HOURS_PER_MONTH = 365.25 * 24 / 12


class Meter:
    """Counts the neurons of answers: what the endpoint tells or, by prices that were asked for, what it counts."""

    def __init__(self, prices: Sequence[Price], *, told: bool) -> None:
        self._tariff = Tariff(prices)
        self._told = told

    def neurons(self, outcome: Outcome) -> float | None:
        """Of one answer; None if there is no price, or if one is for something that the answer does not count."""
        reply = outcome.reply
        if self._told and reply.neurons is not None:
            return reply.neurons
        return self._tariff.neurons(reply.amounts(outcome.request.amounts)) if self._tariff.is_known else None


def own_usd_per_hour(own: OwnCost) -> float:
    """What an hour of the machine costs, whether it has work or not."""
    return own.watts / 1000 * own.usd_per_kwh + own.usd_per_month / HOURS_PER_MONTH


@dataclass(frozen=True)
class Bill:
    """One stage's throughput, kept up, at Cloudflare's price and, if it is known, at the machine's own."""

    connections: int
    answers_per_hour: float
    usd_per_hour: float
    own_usd_per_hour: float | None

    @classmethod
    def of(cls, stage: Stage, own: OwnCost | None) -> Bill | None:
        """The bill, or None if the neurons are not known."""
        if stage.neurons_per_s is None:
            return None
        return cls(
            stage.connections,
            stage.answers_per_s * 3600,
            stage.neurons_per_s * 3600 * USD_PER_NEURON,
            None if own is None else own_usd_per_hour(own),
        )

    @property
    def usd_per_day(self) -> float:
        """At Cloudflare."""
        return self.usd_per_hour * 24

    @property
    def usd_per_1000(self) -> float:
        """For a thousand requests, at Cloudflare."""
        return self.usd_per_hour / self.answers_per_hour * 1000

    @property
    def own_usd_per_1000(self) -> float | None:
        """For a thousand requests here, if the machine is kept busy."""
        return None if self.own_usd_per_hour is None else self.own_usd_per_hour / self.answers_per_hour * 1000

    @property
    def break_even_share(self) -> float | None:
        """How much of the time the machine must be this busy to cost what Cloudflare would; above 1 it never does.

        None if one of the two costs is not known, or Cloudflare's is nothing.
        """
        if self.own_usd_per_hour is None or not self.usd_per_hour:
            return None
        return self.own_usd_per_hour / self.usd_per_hour

    @property
    def break_even_per_hour(self) -> float | None:
        """The requests an hour from which on the machine is cheaper."""
        share = self.break_even_share
        return None if share is None or share > 1 else share * self.answers_per_hour


def busiest(run: Run) -> Bill | None:
    """The bill of the stage with the most answers a second, or None if there is none."""
    stage = max(run.stages, key=lambda stage: stage.answers_per_s)
    return Bill.of(stage, run.own_cost) if stage.answered else None
