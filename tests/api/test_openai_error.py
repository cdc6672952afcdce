"""Errors as OpenAI's clients read them: the field in their own notation, and the codes that programs compare with."""

from __future__ import annotations

import pytest

from gateway.api.openai_error import openai_error
from gateway.errors import (
    AuthenticationFailed,
    BadInput,
    ContextExceeded,
    GatewayError,
    InvalidParameter,
    ModelNotFound,
    Overloaded,
    RateLimited,
    WorkerLost,
)
from gateway.tasks import TASKS

CHAT = TASKS.get("text-generation", "chat-completion")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x", "temperature": 3}, "temperature"),
        ({"prompt": "x", "max_tokens": "3"}, "max_tokens"),
        ({"prompt": "x", "tool_choice": "any"}, "tool_choice"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages[0].content[0].type"),
        ({"prompt": "x", "tools": [{"type": "function", "function": {}}]}, "tools[0].name"),
        ({}, None),
        ([], None),
    ],
)
def test_the_field_that_was_wrong_is_the_param(body: object, param: str | None) -> None:
    with pytest.raises((BadInput, InvalidParameter)) as refused:
        CHAT.parse(body)
    assert openai_error(refused.value, "id")["param"] == param


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ContextExceeded(wanted=9, limit=8), "invalid_request_error", "context_length_exceeded"),
        (ModelNotFound("x"), "invalid_request_error", "model_not_found"),
        (AuthenticationFailed(), "authentication_error", "invalid_api_key"),
        (RateLimited(3), "rate_limit_error", "rate_limit_exceeded"),
        (Overloaded(), "rate_limit_error", "3040"),
        (BadInput("'/n' must be >= 1"), "invalid_request_error", "5006"),
        (WorkerLost("'/n' was not at fault"), "server_error", "3043"),
    ],
)
def test_programs_find_the_codes_that_they_compare_with(error: GatewayError, kind: str, code: str) -> None:
    found = openai_error(error, "id")
    assert (found["type"], found["code"]) == (kind, code)
    assert found["param"] == ("n" if code == "5006" else None)
    assert found["message"] == error.message("id")
