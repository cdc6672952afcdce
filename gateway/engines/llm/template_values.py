"""The further values that a request gives a chat template; knows no template, and bounds none of them."""

from __future__ import annotations

from typing import Any

from gateway.engines.llm.template_traits import Traits
from gateway.tasks.generation import Generation


def thinks(generation: Generation) -> bool | None:
    """Whether the model is asked to reason, None if it may do as it does."""
    if generation.think is not None:
        return generation.think
    switched = generation.template_options.get("enable_thinking", generation.template_options.get("thinking"))
    if isinstance(switched, bool):
        return switched
    return False if generation.reasoning_effort == "none" else None


def template_values(generation: Generation, traits: Traits) -> dict[str, Any]:
    """What the caller says of the template's own variables."""
    values: dict[str, Any] = {}
    if generation.reasoning_effort is not None:
        values["reasoning_effort"] = generation.reasoning_effort
    think = thinks(generation)
    if think is not None:
        values |= dict.fromkeys(traits.switches, think)
    return values | dict(generation.template_options)
