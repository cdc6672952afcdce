"""Says what another server's refusal means to a caller; opens no connection."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.engines.llm.upstream.complaint import Complaint
from gateway.errors import (
    BadInput,
    ContextExceeded,
    GatewayError,
    InferenceFailed,
    InvalidParameter,
    JsonModeFailed,
    LoraUnsupported,
    ModelUnavailable,
    Overloaded,
    RequestTimeout,
    RequestTooLarge,
)

DEFAULT_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
_CONTEXT = re.compile(r"context[ _](?:length|size|window)|max_model_len", re.IGNORECASE)
# The window and the prompt in the sentences of vLLM, SGLang, llama.cpp, OpenAI and Cloudflare.
_LIMITS = (
    r"context length is (?:only )?(\d+)",
    r"context length of (\d+)",
    r"context length \((\d+)",
    r"context size \((\d+)",
    r"window limit \((\d+)",
)
_TOTALS = (
    r"requested a total of (\d+)",
    r"total of at least (\d+)",
    r"you requested (\d+) tokens",
    r"output tokens \((\d+)\) exceeded",
)
_PROMPTS = (
    r"(\d+) (?:tokens )?(?:in|from) the (?:input )?(?:messages|prompt)",
    r"contains at least (\d+) input tokens",
    r"(?:has|passed) (\d+) input tokens",
    r"messages resulted in (\d+)",
    r"input \((\d+) tokens",
    r"request \((\d+) tokens",
)


# Another gateway's refusals that its caller is told as they are, and the statuses that say what the others mean here.
_SAID = {5005: LoraUnsupported, 5006: BadInput, 5024: JsonModeFailed, 8001: InvalidParameter}
_MEANT = {3040: 429, 3043: 500, 3046: 408, 3050: 404, 5007: 404, 9106: 401}


def error_of(status: int, complaint: Complaint, headers: Mapping[str, str]) -> GatewayError:
    """The failure that a caller is told of: `ModelUnavailable` where only the operator can help."""
    if is_about_length(complaint):
        return _too_long(complaint)
    if complaint.code in _SAID:
        return _SAID[complaint.code](complaint.sentence or None)
    status = _MEANT.get(complaint.code, status)
    if status in (400, 422, 501):
        return _bad_input(complaint)
    if status == 413:
        return RequestTooLarge(complaint.sentence or "the server behind this model refuses a request of this size")
    if status in (408, 504):
        return RequestTimeout()
    if status in (429, 502, 503):
        busy = Overloaded()
        busy.retry_after_s = _retry_after_s(headers.get("retry-after"))
        return busy
    if status < 500:
        return ModelUnavailable("the server behind this model refuses its requests; the log says why")
    if "image input is not supported" in complaint.sentence:
        return BadInput("'/messages' has a picture, and this model does not see")
    return InferenceFailed("the server behind this model failed on this input")


def is_about_length(complaint: Complaint) -> bool:
    """Whether prompt and answer are too long for the server's context window."""
    if "context" in complaint.kind and ("exceed" in complaint.kind or "length" in complaint.kind):
        return True
    return bool(_CONTEXT.search(complaint.sentence)) and bool(re.search(r"\d", complaint.sentence))


def room_of(complaint: Complaint) -> int | None:
    """How many tokens the prompt leaves in the window, if the complaint has both numbers."""
    prompt, limit = _prompt_and_limit(complaint)
    return limit - prompt if prompt is not None and limit is not None else None


def _prompt_and_limit(complaint: Complaint) -> tuple[int | None, int | None]:
    text = complaint.sentence
    return complaint.prompt_tokens or _number(_PROMPTS, text), complaint.window or _number(_LIMITS, text)


def _too_long(complaint: Complaint) -> ContextExceeded:
    """With the numbers that the server told."""
    prompt, limit = _prompt_and_limit(complaint)
    wanted = _number(_TOTALS, complaint.sentence) or prompt
    if wanted is not None and limit is not None:
        return ContextExceeded(wanted=wanted, limit=limit)
    known = f" ({limit})" if limit is not None else ""
    return ContextExceeded(
        f"The estimated number of input and maximum output tokens exceeded this model context window limit{known}"
    )


def _bad_input(complaint: Complaint) -> GatewayError:
    sentence = complaint.sentence or "no reason was given"
    if complaint.field is not None:
        return BadInput(f"'/{complaint.field}' was refused by the server behind this model: {sentence}")
    return InvalidParameter(f"the server behind this model refused the request: {sentence}")


def _number(patterns: tuple[str, ...], text: str) -> int | None:
    found = next((match for pattern in patterns if (match := re.search(pattern, text, re.IGNORECASE))), None)
    return int(found[1]) if found is not None else None


def _retry_after_s(value: str | None) -> float:
    """What the server asks for in seconds, bounded; a date counts as the default."""
    try:
        return min(LONGEST_RETRY_S, max(DEFAULT_RETRY_S, float(value or "")))
    except ValueError:
        return DEFAULT_RETRY_S
