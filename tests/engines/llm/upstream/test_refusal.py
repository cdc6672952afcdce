"""What servers say of prompts that are too long is understood, and what they say of their machines is not passed on."""

from __future__ import annotations

import pytest

from gateway.engines.llm.upstream.complaint import clean, complaint_of
from gateway.engines.llm.upstream.refusal import error_of, room_of
from gateway.errors import (
    BadInput,
    ContextExceeded,
    GatewayError,
    InferenceFailed,
    InvalidParameter,
    JsonModeFailed,
    LoraUnsupported,
    ModelNotFound,
    ModelUnavailable,
    Overloaded,
    RequestTimeout,
    WorkerLost,
)

# Sentences of vLLM (four), SGLang (two), llama.cpp, and Cloudflare.
TOO_LONG = [
    (
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, "
        "100 in the completion). Please reduce the length of the messages or completion.",
        5000,
        4096,
        -804,
    ),
    (
        "'max_tokens' or 'max_completion_tokens' is too large: 200. This model's maximum context length is 4096 tokens "
        "and your request has 4000 input tokens (200 > 4096 - 4000).",
        4000,
        4096,
        96,
    ),
    (
        "You passed 4097 input tokens and requested 1 output tokens. However, the model's context length is only 4096 "
        "tokens, resulting in a maximum input length of 4095 tokens.",
        4097,
        4096,
        -1,
    ),
    (
        "This model's maximum context length is 4096 tokens. However, you requested 100 output tokens and your prompt "
        "contains at least 4000 input tokens, for a total of at least 4100 tokens.",
        4100,
        4096,
        96,
    ),
    ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", 5000, 4096, -904),
    (
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
        "5000 tokens: 4900 tokens from the input messages and 100 tokens for the completion.",
        5000,
        4096,
        -804,
    ),
    ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 5000, 4096, -904),
    (
        "The estimated number of input and maximum output tokens (5000) exceeded this model context window limit "
        "(4096)",
        5000,
        4096,
        None,
    ),
]


@pytest.mark.parametrize(("sentence", "wanted", "limit", "room"), TOO_LONG)
def test_the_numbers_of_a_prompt_too_long(sentence: str, wanted: int, limit: int, room: int | None) -> None:
    complaint = complaint_of({"error": {"message": sentence, "type": "BadRequestError", "code": 400}})
    error = error_of(400, complaint, {})
    assert isinstance(error, ContextExceeded)
    assert error.detail == ContextExceeded(wanted=wanted, limit=limit).detail
    assert room_of(complaint) == room


def test_a_code_is_enough_without_numbers() -> None:
    error = error_of(400, complaint_of({"error": {"message": "too long", "code": "context_length_exceeded"}}), {})
    assert isinstance(error, ContextExceeded)
    assert "(0)" not in error.detail


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("see https://host:9/a?b=c for more", "see […] for more"),
        ("connect to 10.1.2.3:8001 failed", "connect to […] failed"),
        ("localhost:8001 refused", "[…] refused"),
        ("no file /srv/models/llama/config.json", "no file […]"),
        ("two\n lines\tand a tab", "two lines and a tab"),
        ("'/top_k' is wrong, or 1/2 of it", "'/top_k' is wrong, or 1/2 of it"),
    ],
)
def test_sentences_lose_addresses_and_paths(theirs: str, ours: str) -> None:
    assert clean(theirs) == ours


def test_sentences_are_bounded() -> None:
    assert len(clean("word " * 10_000)) == 300


ID = "0750a4d6-3bec-4138-a070-4e1cbd5f2d01"


@pytest.mark.parametrize(
    ("theirs", "ours", "detail"),
    [
        (BadInput("'/top_p' must be <= 1"), BadInput, "'/top_p' must be <= 1"),
        (LoraUnsupported("no fine-tune: x"), LoraUnsupported, "no fine-tune: x"),
        (InvalidParameter(), InvalidParameter, "Invalid input"),
        (JsonModeFailed(), JsonModeFailed, "the answer is not complete JSON"),
        (ContextExceeded(wanted=9, limit=8), ContextExceeded, None),
        (Overloaded(), Overloaded, None),
        (RequestTimeout(), RequestTimeout, None),
        (WorkerLost(), InferenceFailed, None),
        (ModelNotFound("@cf/a"), ModelUnavailable, None),
        (ModelUnavailable("no weights in /srv/a/b"), ModelUnavailable, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GatewayError) else None,
)
@pytest.mark.parametrize("status", [None, 200])
def test_another_gateways_error_is_told_as_its_own_caller_would_be(
    theirs: GatewayError, ours: type[GatewayError], detail: str | None, status: int | None
) -> None:
    """Also in the middle of a stream, whose status was 200."""
    message = theirs.message(ID)
    body = {"errors": [{"message": message, "code": theirs.code}], "success": False, "error": {"message": message}}
    error = error_of(status or theirs.status, complaint_of(body), {})
    assert type(error) is ours
    assert detail is None or error.detail == detail
    assert ID not in error.detail
    assert "/srv" not in error.detail


@pytest.mark.parametrize("errors", [["no"], [{}], [{"message": 5, "code": "5006"}], [{"message": None, "code": 5006}]])
def test_an_envelope_that_is_none_is_a_complaint_without_words(errors: list[object]) -> None:
    assert complaint_of({"errors": errors}).sentence == ""
    assert isinstance(error_of(400, complaint_of({"errors": errors}), {}), BadInput | InvalidParameter)
