"""How much a request may have a model think, by what its row says that the model knows; knows no template."""

from __future__ import annotations

from dataclasses import replace

from gateway.properties import ReasoningEffort
from gateway.tasks.generation import Generation


def settled(generation: Generation, known: ReasoningEffort | None) -> Generation:
    """The request with an effort that the model was trained for.

    One that it does not know becomes its default, as the live service does with the levels of other models; a model
    that always reasons does so at its default where the caller wants none. What no caller says is left to the model.
    """
    if known is None:
        return generation
    effort = generation.reasoning_effort
    if known.mandatory and generation.think is False:
        generation, effort = replace(generation, think=None), effort or "none"
    if effort is not None and effort not in known.supported_efforts:
        effort = known.default_effort
    return replace(generation, reasoning_effort=effort)
