"""The further values that a request gives a chat template, within bounds; knows no template."""

from __future__ import annotations

from typing import Any

from gateway.engines.llm.template_traits import Traits
from gateway.errors import BadInput
from gateway.tasks.generation import Generation

MAX_VALUES = 64
MAX_CHARACTERS = 1000
MAX_NUMBER = 1_000_000


def thinks(generation: Generation) -> bool | None:
    """Whether the model is asked to reason, None if it may do as it does."""
    if generation.think is not None:
        return generation.think
    switched = generation.template_options.get("enable_thinking", generation.template_options.get("thinking"))
    if isinstance(switched, bool):
        return switched
    return False if generation.reasoning_effort == "none" else None


def template_values(generation: Generation, traits: Traits) -> dict[str, Any]:
    """What the caller says of the template's own variables; raises `BadInput` for what is no plain, small value."""
    options = generation.template_options
    if len(options) > MAX_VALUES:
        raise BadInput(f"'/chat_template_kwargs' must not have more than {MAX_VALUES} values")
    for name, value in options.items():
        if not _is_small(value):
            raise BadInput(
                f"'/chat_template_kwargs/{name[:64]}' must be true, false, a number up to {MAX_NUMBER} or a string of "
                f"at most {MAX_CHARACTERS} characters"
            )
    values: dict[str, Any] = {}
    if generation.reasoning_effort is not None:
        values["reasoning_effort"] = generation.reasoning_effort
    think = thinks(generation)
    if think is not None:
        values |= dict.fromkeys(traits.switches, think)
    return values | dict(options)


def _is_small(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_CHARACTERS
    return value is None or (isinstance(value, bool | int | float) and abs(value) <= MAX_NUMBER)
