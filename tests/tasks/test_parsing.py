"""Bodies become inputs, and what does not fit is refused in the words of the contract."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadBase64, BadInput, InvalidParameter
from gateway.tasks import TASKS, Task, UnknownTask
from gateway.tasks.generation import GenerationInput

CLASSIFY = TASKS.get("text-classification")
EMBED = TASKS.get("text-embeddings")
GENERATE = TASKS.get("text-generation")
WHISPER = TASKS.get("automatic-speech-recognition", "whisper")
TURBO = TASKS.get("automatic-speech-recognition", "whisper-large-v3-turbo")
MELOTTS = TASKS.get("text-to-speech", "melotts")
AURA = TASKS.get("text-to-speech", "aura")

NEITHER = (
    "oneOf at '/' not met, 0 matches: required properties at '/' are 'prompt', "
    "required properties at '/' are 'messages'"
)


@pytest.mark.parametrize(
    ("task", "body", "detail"),
    [
        (CLASSIFY, {}, "required properties at '/' are 'text'"),
        (CLASSIFY, {"text": None}, "required properties at '/' are 'text'"),
        (CLASSIFY, {"text": 5}, "Type mismatch of '/text', 'integer' not in 'string'"),
        (CLASSIFY, {"text": ""}, "Length of '/text' must be >= 1"),
        (CLASSIFY, [], "Type mismatch of '/', 'array' not in 'object'"),
        (CLASSIFY, None, "Type mismatch of '/', 'null' not in 'object'"),
        (CLASSIFY, "text", "Type mismatch of '/', 'string' not in 'object'"),
        (EMBED, {"text": []}, "Length of '/text' must be >= 1"),
        (EMBED, {"text": ["a", 3]}, "Type mismatch of '/text/1', 'integer' not in 'string'"),
        (EMBED, {"text": ["a"] * 3001}, "Length of '/text' must be <= 3000"),
        (EMBED, {"text": "a", "pooling": "max"}, "'/pooling' must be one of 'mean' or 'cls'"),
        (GENERATE, {}, NEITHER),
        (GENERATE, {"prompt": "x", "temperature": 5.1}, "'/temperature' must be <= 5"),
        (GENERATE, {"prompt": "x", "temperature": -0.1}, "'/temperature' must be >= 0"),
        (GENERATE, {"prompt": "x", "temperature": "1"}, "Type mismatch of '/temperature', 'string' not in 'number'"),
        (GENERATE, {"prompt": "x", "top_p": 0}, "'/top_p' must be >= 0.001"),
        (GENERATE, {"prompt": "x", "top_p": 1.01}, "'/top_p' must be <= 1"),
        (GENERATE, {"prompt": "x", "top_k": 51}, "'/top_k' must be <= 50"),
        (GENERATE, {"prompt": "x", "seed": 0}, "'/seed' must be >= 1"),
        (GENERATE, {"prompt": "x", "seed": 10**10}, "'/seed' must be <= 9999999999"),
        (GENERATE, {"prompt": "x", "repetition_penalty": 2.5}, "'/repetition_penalty' must be <= 2"),
        (GENERATE, {"prompt": "x", "frequency_penalty": -2.5}, "'/frequency_penalty' must be >= -2"),
        (GENERATE, {"prompt": "x", "presence_penalty": 2.5}, "'/presence_penalty' must be <= 2"),
        (GENERATE, {"prompt": "x", "max_tokens": 0}, "'/max_tokens' must be >= 1"),
        (GENERATE, {"prompt": "x", "max_tokens": 1.5}, "Type mismatch of '/max_tokens', 'number' not in 'integer'"),
        (GENERATE, {"prompt": "x", "max_tokens": True}, "Type mismatch of '/max_tokens', 'boolean' not in 'integer'"),
        (GENERATE, {"prompt": "x", "stream": "yes"}, "Type mismatch of '/stream', 'string' not in 'boolean'"),
        (GENERATE, {"messages": []}, "Length of '/messages' must be >= 1"),
        (GENERATE, {"messages": [{"content": "x"}]}, "required properties at '/messages/0' are 'role'"),
        (
            GENERATE,
            {"messages": [{"role": "user", "content": 5}]},
            "Type mismatch of '/messages/0/content', 'integer' not in 'string'",
        ),
        (GENERATE, {"prompt": "x", "max_tokens": 1e308}, "'/max_tokens': an integer of more than 64 bits"),
        (WHISPER, {"audio": [1, 256]}, "'/audio': the items of a byte array must be integers from 0 to 255"),
        (WHISPER, {"audio": []}, "'/audio': the media must not be empty"),
        (TURBO, {"audio": "AAAA", "beam_size": 100}, "'/beam_size' must be <= 20"),
        (TURBO, {"audio": {"body": "AAAA"}}, "required properties at '/audio' are 'contentType'"),
        (TURBO, {"audio": "AAAA", "task": "sing"}, "'/task' must be one of 'transcribe' or 'translate'"),
        (MELOTTS, {"lang": "en"}, "required properties at '/' are 'prompt'"),
        (MELOTTS, {"prompt": "x" * 10_001}, "Length of '/prompt' must be <= 10000"),
        (AURA, {"text": "x", "sample_rate": 7999}, "'/sample_rate' must be >= 8000"),
    ],
)
def test_what_does_not_fit_is_named(task: Task, body: Any, detail: str) -> None:
    with pytest.raises(BadInput) as found:
        task.parse(body)
    assert found.value.detail == detail
    assert found.value.message("id") == f"AiError: Bad input: Error: {detail} (id)"


@pytest.mark.parametrize(("value", "kind"), [("a!", "string"), ([1, 2], "array"), (5, "integer")])
def test_what_is_not_base64_is_5004(value: Any, kind: str) -> None:
    with pytest.raises(BadBase64) as found:
        TURBO.parse({"audio": value})
    assert found.value.message("id") == f"AiError: Invalid data type for base64 input: {kind} (id)"


@pytest.mark.parametrize(
    "value", ["aGVsbG8=", "aGVsbG8", "data:audio/wav;base64,aGVsbG8=", "aGVs\nbG8=\n", "aGVs\r\nbG8"]
)
def test_base64_comes_plain_unpadded_in_lines_or_as_a_data_uri(value: str) -> None:
    assert TURBO.parse({"audio": value}).audio == b"hello"


def test_audio_comes_in_an_object_too_as_bindings_send_it() -> None:
    assert TURBO.parse({"audio": {"body": "aGVsbG8=", "contentType": "audio/wav"}}).audio == b"hello"


def test_unknown_keys_and_nulls_are_tolerated() -> None:
    input = GENERATE.parse(
        {"prompt": "x", "model": "m", "random_seed": 4, "stop": None, "max_tokens": None, "raw": "true", "tools": []}
    )
    assert (input.max_tokens, input.raw) == (256, True)
    assert "max_tokens" not in input.model_fields_set


def test_the_native_family_takes_what_its_clients_send_beyond_the_schema() -> None:
    input = GENERATE.parse(
        {
            "prompt": "x",
            "stop": "Observation:",
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "chat_template_kwargs": {"enable_thinking": False, "clear_thinking": True},
        }
    )
    assert isinstance(input, GenerationInput)
    asked = input.generation()
    assert (asked.stop, asked.parallel_tool_calls) == (("Observation:",), False)
    assert (asked.think, asked.reasoning_effort) == (False, "low")
    assert asked.template_options == {"clear_thinking": True}


def test_one_text_and_a_list_of_one_are_the_same() -> None:
    assert EMBED.parse({"text": "a"}) == EMBED.parse({"text": ["a"]})


@pytest.mark.parametrize("task", list(TASKS), ids=lambda task: f"{task.name}/{task.shape}")
def test_every_canary_is_valid_and_survives_the_pipe(task: Task) -> None:
    from gateway.runtime.framing import pack, unpack

    canary = task.parse(task.canary)
    assert task.input.model_validate(unpack(pack(canary.model_dump(exclude_unset=True)))) == canary
    assert canary.extent().rows >= 1


def test_an_unknown_task_or_shape_lists_those_there_are() -> None:
    with pytest.raises(UnknownTask, match="text-classification"):
        TASKS.get("text-clasification")
    with pytest.raises(UnknownTask, match="melotts, aura"):
        TASKS.get("text-to-speech", "nova")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(sorted({name for task in TASKS for name in task.input.model_fields}))


@given(st.sampled_from(list(TASKS)), st.dictionaries(KEYS, JSON, max_size=6) | JSON)
def test_any_document_is_an_input_or_bad_input(task: Task, document: Any) -> None:
    with contextlib.suppress(BadInput, BadBase64, InvalidParameter):
        input = task.parse(document)
        assert task.input.model_validate(input.model_dump(exclude_unset=True)) == input
