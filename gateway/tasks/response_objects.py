"""A response object and its counts, as the catalogue describes them; knows no engine and no route."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.tasks.pieces import Usage


class ResponseUsage(TypedDict):
    """Tokens by the model's own tokenizer."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseObject(TypedDict):
    """A whole response; `output` has items of type reasoning, message, function_call and custom_tool_call."""

    id: str
    object: str
    created_at: int
    status: str
    error: None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, Any]
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: str
    usage: ResponseUsage | None


def response_usage(usage: Usage) -> ResponseUsage:
    """The counts under the names that this API has for them."""
    return {
        "input_tokens": usage.prompt_tokens,
        # Clients' types require both; what is written to a cache here has no count of its own, as it has no price.
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
