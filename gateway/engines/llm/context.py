"""Whether a request fits the context window; knows numbers of tokens only."""

from __future__ import annotations

from gateway.errors import ContextExceeded
from gateway.tasks.generation import Generation


def output_budget(prompt_tokens: int, generation: Generation, window: int) -> int:
    """How many tokens may be generated after a prompt of `prompt_tokens` in a window of `window` tokens.

    A `max_tokens` that the caller named is kept or refused; the default is shortened to what is left.
    Raises `ContextExceeded` with the numbers.
    """
    wanted = prompt_tokens + (generation.output_tokens or 1)
    if prompt_tokens >= window or (generation.max_tokens is not None and wanted > window):
        raise ContextExceeded(wanted=wanted, limit=window)
    left = window - prompt_tokens
    return min(left, generation.output_tokens or left)
