"""Refuses what would take more than its caller may ask for at once; knows no task's units."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config import ModelSpec
from gateway.errors import CostExceeded
from gateway.tasks import Cost, TaskInput
from gateway.tasks.cost import Unit


def check_input(spec: ModelSpec, max_cost: Mapping[Unit, int], input: TaskInput) -> None:
    """Raise `CostExceeded` if `input` would take more than its caller may ask for; costs nothing without a bound."""
    if max_cost:
        check(max_cost, estimate(spec, input))


def estimate(spec: ModelSpec, input: TaskInput) -> Cost:
    """What `input` takes; of tokens, no row of it more than the model's context window, where the model's row says."""
    cost, window = input.cost(), spec.context_window
    if window is None or "tokens" not in cost:
        return cost
    return {**cost, "tokens": min(cost["tokens"], input.extent().rows * window)}


def check(max_cost: Mapping[Unit, int], cost: Cost) -> None:
    """Raise `CostExceeded`, naming estimate and bound, if `cost` has more of a unit than the caller may ask for."""
    for unit, most in max_cost.items():
        if cost.get(unit, 0) > most:
            raise CostExceeded(unit=unit, estimate=cost[unit], most=most)
