"""Whether a request fits the context window; knows numbers of tokens and no weights."""

from __future__ import annotations

from gateway.engines.llm.backend import Tokenizer
from gateway.errors import ContextExceeded
from gateway.tasks.generation import Generation

STEP_CHARACTERS = 32 * 1024
# By how many tokens a step may be more than what its text is in the whole.
_SEAM_TOKENS = 4


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


def check_length(tokenizer: Tokenizer, text: str, window: int) -> None:
    """Raise `ContextExceeded` for a text of more than `window` tokens, as soon as that many are counted.

    Tokenizers take hundreds of bytes for each character: a long text is counted in steps before it is tokenized at
    once. What is beyond the window by no more than the seams between the steps is left to `output_budget`.
    """
    if len(text) <= max(window, STEP_CHARACTERS):
        return
    count = 0
    for start in range(0, len(text), STEP_CHARACTERS):
        step = text[start : start + STEP_CHARACTERS]
        count += max(0, len(tokenizer.encode(step, add_special_tokens=False)) - _SEAM_TOKENS)
        if count > window:
            raise ContextExceeded(wanted=count, limit=window)
