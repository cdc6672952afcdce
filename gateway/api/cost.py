"""Refuses what would take more than its caller may ask for at once; knows no task's units."""

from __future__ import annotations

from gateway.api.choosing import Chosen
from gateway.errors import CostExceeded
from gateway.tasks import Cost, TaskInput


def check_input(chosen: Chosen, input: TaskInput) -> None:
    """Raise `CostExceeded` if `input` would take more than its caller may ask for; costs nothing without a bound."""
    if chosen.caller.max_cost:
        check(chosen, estimate(chosen, input))


def estimate(chosen: Chosen, input: TaskInput) -> Cost:
    """What `input` takes; of tokens, no row of it more than the model's context window, where the model's row says."""
    cost, window = input.cost(), chosen.model.spec.context_window
    if window is None or "tokens" not in cost:
        return cost
    return {**cost, "tokens": min(cost["tokens"], input.extent().rows * window)}


def check(chosen: Chosen, cost: Cost) -> None:
    """Raise `CostExceeded`, naming estimate and bound, if `cost` has more of a unit than the caller may ask for."""
    for unit, most in chosen.caller.max_cost.items():
        if cost.get(unit, 0) > most:
            raise CostExceeded(unit=unit, estimate=cost[unit], most=most)
