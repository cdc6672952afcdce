"""Whether a request fits the context window; knows numbers of tokens only."""

from __future__ import annotations

from gateway.errors import ContextExceeded
from gateway.tasks.text_generation import TextGenerationInput


def output_budget(prompt_tokens: int, input: TextGenerationInput, window: int) -> int:
    """How many tokens may be generated after a prompt of `prompt_tokens` in a window of `window` tokens.

    A `max_tokens` that the caller named is kept or refused; the default is shortened to what is left.
    Raises `ContextExceeded` with the numbers.
    """
    wanted = prompt_tokens + input.max_tokens
    if wanted <= window:
        return input.max_tokens
    if "max_tokens" in input.model_fields_set or prompt_tokens >= window:
        raise ContextExceeded(wanted=wanted, limit=window)
    return window - prompt_tokens
