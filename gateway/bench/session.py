"""A whole run from the first question to the last stage; knows no terminal and no page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.bench.about import about
from gateway.bench.caller import BenchFailed, Outcome
from gateway.bench.cost import Meter
from gateway.bench.drive import Drive, Plan, Watcher
from gateway.bench.endpoint import Endpoint
from gateway.bench.loads import Load, load_for
from gateway.bench.material import Material
from gateway.bench.reply import Fault
from gateway.bench.result import OwnCost, Pricing, Run, Stage, Subject
from gateway.bench.served import find, price_of, refused
from gateway.config import ModelSpec

# In front of each stage, unless answers take minutes.
WARM_UP_S = 2.0


@dataclass(frozen=True)
class Order:
    """What is to be measured. `None` leaves the connections to the load: 1, 4 and 16, or 1 where answers are slow."""

    endpoint: Endpoint
    model: str
    material: Material
    seconds: float
    connections: Sequence[int] | None = None
    most: int | None = None
    timeout_s: float = 300.0
    priced_as: str | None = None
    own_cost: OwnCost | None = None


class Session:
    """Measures one model. The stages that are done stay in `stages` if a later one fails."""

    def __init__(self, order: Order, rows: Sequence[ModelSpec], arguments: Sequence[str]) -> None:
        """`rows` are those of models.yaml, `arguments` what the run is repeated with. Raises `ConfigError`."""
        self._order = order
        self._about = about(arguments)
        served = find(order.endpoint, order.model, rows)
        self.load = load_for(served.form, order.material)
        self._prices = served.prices if order.priced_as is None else price_of(order.priced_as, rows)
        self.stages: list[Stage] = []

    async def run(self, watcher: Watcher) -> Run:
        """All stages; raises `BenchFailed`."""
        order, load = self._order, self.load
        warm_up_s = 0.0 if load.is_slow else min(WARM_UP_S, order.seconds / 2)
        plan = Plan(order.seconds, warm_up_s, order.most, order.timeout_s)
        drive = Drive(order.endpoint, order.model, load, plan)
        watcher.wait("waiting for the first answer: the model may have to be loaded")
        first = await drive.first()
        if first.reply.fault is not None:
            raise BenchFailed(_advice(order, first.reply.fault))
        meter = Meter(self._prices, told=order.priced_as is None)
        for connections in order.connections or ((1,) if load.is_slow else (1, 4, 16)):
            self.stages.append(await drive.stage(connections, meter.neurons, watcher))
        if not any(stage.answered for stage in self.stages):
            codes = ", ".join(sorted({code for stage in self.stages for code in stage.failed}))
            raise BenchFailed(f"the first request was answered, and none of those after it: they failed with {codes}")
        return Run(
            subject=_subject(order, load, first),
            stages=tuple(self.stages),
            pricing=self._pricing(),
            own_cost=order.own_cost,
            about=self._about,
        )

    def _pricing(self) -> Pricing:
        order = self._order
        if any(stage.neurons_per_s is not None for stage in self.stages):
            return Pricing(model=order.priced_as or order.model, prices=self._prices)
        if self._prices:
            why = "its price is for something that the answers do not count."
        else:
            why = (
                f"{order.model} has no price in models.yaml. To compare it with a model of Cloudflare's that has one, "
                "add --priced-as and that model's name."
            )
        return Pricing(why_unknown=why)


def _subject(order: Order, load: Load, first: Outcome) -> Subject:
    return Subject(
        model=order.model,
        task=load.form.title,
        form=f"{load.form.name}/{load.form.shape}",
        load=load.what,
        seed=order.material.seed,
        url=order.endpoint.root,
        is_here=order.endpoint.is_here,
        first_answer_s=first.ended_s - first.begun_s,
        answered_by=first.reply.routed or order.model,
    )


def _advice(order: Order, fault: Fault) -> str:
    """What to do when already the first request fails."""
    code = int(fault.code) if fault.code.isdecimal() else fault.code
    if code in (9106, 10000, 6003, 7003):
        return refused(order.endpoint, code, fault.message)
    return f"the first request to {order.model} failed with {fault.code}: {fault.message}"
