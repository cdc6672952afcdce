"""The schemas of the catalogue: valid, complete in themselves, and true of what models take and give."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.app import create_app
from gateway.config import Settings
from gateway.errors import BadBase64, BadInput
from gateway.models_file import find_models_file, load_specs
from gateway.tasks import TASKS, Task
from gateway.tasks.schema import input_schema, output_schema
from tests.api.conftest import ACCOUNT, BEARER, Served, client_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
AI = f"/accounts/{ACCOUNT}/ai"
SHIPPED = {spec.name: spec for spec in load_specs(find_models_file(Settings()))}
EVERY_TASK = pytest.mark.parametrize("task", list(TASKS), ids=lambda task: f"{task.name}/{task.shape}")
# Of JSON Schema's words, those that the tasks use; `contentType` and `binary` are the live catalogue's own.
WORDS = {"type", "properties", "items", "required", "enum", "const", "default", "title", "description", "format"}
WORDS |= {"oneOf", "anyOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"}
WORDS |= {
    "minItems",
    "maxItems",
    "maxProperties",
    "additionalProperties",
    "contentType",
    "contentEncoding",
    "pattern",
    "prefixItems",
}


def inside(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and every schema inside it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for child in schema.get("properties", {}).values():
        yield from inside(child)
    for word in ("items", "additionalProperties"):
        yield from inside(schema.get(word))
    for word in ("oneOf", "anyOf", "prefixItems"):
        for child in schema.get(word, []):
            yield from inside(child)


def fits(schema: dict[str, Any], document: Any) -> bool:
    return Draft202012Validator(schema).is_valid(document)


def as_json(task: Task, document: dict[str, Any]) -> dict[str, Any]:
    """The document with bytes as callers write them in JSON, by trying the ways that there are."""

    def text(media: bytes) -> str:
        return base64.b64encode(media).decode()

    for write in (list, text, lambda media: {"body": text(media), "contentType": "audio/wav"}):
        plain = {key: write(value) if isinstance(value, bytes) else value for key, value in document.items()}
        if fits(input_schema(task), plain):
            return plain
    raise AssertionError("neither numbers nor base64 nor an object fit")


@EVERY_TASK
async def test_schemas_are_valid_and_need_no_other_document(task: Task) -> None:
    for schema in (input_schema(task), output_schema(task)):
        Draft202012Validator.check_schema(schema)
        for part in inside(schema):
            assert set(part) <= WORDS
            assert None not in (part.get("default", 0), part.get("title", 0))


@EVERY_TASK
async def test_the_canary_fits_and_its_json_is_parsed(task: Task) -> None:
    assert task.parse(as_json(task, task.canary)) == task.parse(task.canary)


@pytest.mark.parametrize(
    ("task", "body", "is_valid"),
    [
        (("text-classification", None), {"text": "x"}, True),
        (("text-classification", None), {"text": "x", "unknown": [1]}, True),
        (("text-classification", None), {"text": ""}, False),
        (("text-classification", None), {}, False),
        (("text-classification", None), [], False),
        (("text-embeddings", None), {"text": ["a", "b"], "pooling": "cls"}, True),
        (("text-embeddings", None), {"text": []}, False),
        (("text-embeddings", None), {"text": ["a"] * 3001}, False),
        (("text-embeddings", None), {"text": "a", "pooling": "max"}, False),
        (("text-generation", None), {"prompt": "x", "top_k": 50}, True),
        (("text-generation", None), {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}, True),
        (("text-generation", None), {"messages": [{"role": "user", "content": [{"text": "x"}]}]}, True),
        (("text-generation", None), {}, False),
        (("text-generation", None), {"prompt": "x", "top_k": 51}, False),
        (("text-generation", None), {"prompt": "x", "seed": 0}, False),
        (("text-generation", None), {"prompt": "x", "max_tokens": 1.5}, False),
        (("text-generation", None), {"prompt": "x", "frequency_penalty": -2.1}, False),
        (("text-generation", None), {"messages": [{"content": "x"}]}, False),
        (("text-generation", "chat-completion"), {"prompt": "x", "stop": ["a"], "logit_bias": {"5": 1}}, True),
        (("text-generation", "chat-completion"), {"prompt": "x", "stop": "a", "chat_template_kwargs": {"a": 1}}, True),
        (("text-generation", "chat-completion"), {"prompt": "x", "n": 9}, False),
        (("text-generation", "chat-completion"), {"prompt": "x", "stop": ["a"] * 5}, False),
        (("text-generation", "chat-completion"), {"prompt": "x", "logit_bias": {"5": 101}}, False),
        (("text-generation", "chat-completion"), {"prompt": "x", "top_logprobs": 21, "logprobs": True}, False),
        (("text-generation", "chat-completion"), {"n": 1}, False),
        (("text-generation", "chat-completion-native"), {"prompt": "x", "top_k": 51}, False),
        (("text-generation", "responses"), {"input": "x", "metadata": {"a": "b"}}, True),
        (("text-generation", "responses"), {"input": [{"role": "user", "content": "x"}]}, True),
        (("text-generation", "responses"), {"input": ""}, False),
        (("text-generation", "responses"), {"input": "x", "truncation": "middle"}, False),
        (("text-embeddings", "openai"), {"input": ["a", "b"], "encoding_format": "base64"}, True),
        (("text-embeddings", "openai"), {"input": [1, 2]}, False),
        (("automatic-speech-recognition", "whisper"), {"audio": [0, 255]}, True),
        (("automatic-speech-recognition", "whisper"), {"audio": [256]}, False),
        (("automatic-speech-recognition", "whisper"), {"audio": "AAAA"}, False),
        (("automatic-speech-recognition", "whisper-large-v3-turbo"), {"audio": "AAAA", "beam_size": 20}, True),
        (("automatic-speech-recognition", "whisper-large-v3-turbo"), {"audio": "AAAA", "beam_size": 21}, False),
        (("automatic-speech-recognition", "whisper-large-v3-turbo"), {"audio": [1]}, False),
        (("text-to-speech", "aura"), {"text": "x", "sample_rate": 8000}, True),
        (("text-to-speech", "aura"), {"text": "x", "sample_rate": 7999}, False),
        (("text-to-speech", "aura"), {"text": "x", "speaker": "nobody"}, False),
    ],
)
async def test_the_schema_and_the_gateway_agree(task: tuple[str, str | None], body: Any, is_valid: bool) -> None:
    assert fits(input_schema(TASKS.get(*task)), body) is is_valid
    if is_valid:
        TASKS.get(*task).parse(body)
    else:
        with pytest.raises((BadInput, BadBase64)):
            TASKS.get(*task).parse(body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("classify", {"text": "x"}),
        ("embed", {"text": ["x", "y"], "pooling": "cls"}),
        ("chat", {"prompt": "one two"}),
        ("say-chat", {"messages": [{"role": "user", "content": '[{"reasoning": "hm"}, {"call": ["f", {}]}]'}]}),
        ("say-chat", {"prompt": '[{"say": ["a", -1.0]}]', "logprobs": True, "top_logprobs": 1}),
        ("say-native", {"prompt": "one two"}),
        ("say-native", {"messages": [{"role": "user", "content": "one two"}]}),
        ("say-oss", {"prompt": "one two"}),
        ("say-oss", {"input": '[{"reasoning": "hm"}, {"text": "a"}]'}),
        ("listen", {"audio": [1, 2]}),
        ("listen-turbo", {"audio": "AAAA"}),
        ("speak", {"prompt": "x"}),
    ],
)
async def test_real_answers_fit(served: Served, name: str, body: dict[str, Any]) -> None:
    schema = await served.http.get(f"{AI}/models/schema", params={"model": f"@cf/test/{name}"})
    answer = await served.run(name, json=body)
    Draft202012Validator(schema.json()["result"]["output"]).validate(answer.json()["result"])


async def test_a_model_of_two_requests_describes_both() -> None:
    schema = input_schema(TASKS.get("text-generation", "gpt-oss"))
    assert [form["title"] for form in schema["oneOf"]] == ["Prompt", "Messages", "Input"]
    assert fits(schema, {"input": "x", "instructions": "y"})
    assert not fits(schema, {"instructions": "y"})


async def test_rows_that_queue_describe_their_batches_too(served: Served) -> None:
    async def described(name: str) -> dict[str, Any]:
        schema = await served.http.get(f"{AI}/models/schema", params={"model": f"@cf/test/{name}"})
        found: dict[str, Any] = schema.json()["result"]
        return found

    queues, other = await described("embed-cut"), await described("embed")
    one = {"text": "x"}
    batch = {"requests": [one, {"text": ["y"]}]}
    assert [fits(queues["input"], document) for document in (one, batch, {"requests": []}, {})] == [
        True,
        True,
        False,
        False,
    ]
    assert not fits(other["input"], batch)
    for document in (one, batch):
        answer = await served.run("embed-cut", json=document)
        Draft202012Validator(queues["output"]).validate(answer.json()["result"])
    for schema in queues.values():
        Draft202012Validator.check_schema(schema)
        assert all(set(part) <= WORDS for part in inside(schema))


async def test_raw_media_is_described_by_its_type(served: Served) -> None:
    schema = await served.http.get(f"{AI}/models/schema", params={"model": "@cf/test/speak-raw"})
    answer = await served.run("speak-raw", json={"text": "x"})
    output = schema.json()["result"]["output"]
    assert output == {"type": "string", "contentType": "audio/mpeg", "format": "binary"}
    assert answer.headers["content-type"] == output["contentType"]


async def test_media_and_streams_are_forms_of_their_own() -> None:
    listen, chat = TASKS.get("automatic-speech-recognition"), TASKS.get("text-generation")
    assert input_schema(listen)["oneOf"][0] == {"type": "string", "format": "binary"}
    assert [form["title"] for form in input_schema(chat)["oneOf"]] == ["Prompt", "Messages"]
    assert [form["contentType"] for form in output_schema(chat)["oneOf"]] == ["application/json", "text/event-stream"]


@pytest.mark.parametrize(
    "name", ["@cf/test/classify", "%40cf%2Ftest%2Fclassify", "%2540cf%252Ftest%252Fclassify", "@cf/test/alias"]
)
async def test_every_spelling_of_a_name_finds_the_schema(served: Served, name: str) -> None:
    answer = await served.http.get(f"{AI}/models/schema?model={name}")
    assert answer.json() == {
        "result": {
            "input": input_schema(TASKS.get("text-classification")),
            "output": output_schema(TASKS.get("text-classification")),
        },
        "success": True,
        "errors": [],
        "messages": [],
    }


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("?model=@cf/test/nobody", 5007, "No such model @cf/test/nobody or task"),
        ("?model=", 5006, "required properties at '/' are 'model'"),
        ("", 5006, "required properties at '/' are 'model'"),
    ],
)
async def test_a_model_that_is_not_there(served: Served, query: str, code: int, text: str) -> None:
    answer = await served.http.get(f"{AI}/models/schema{query}")
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"]) == (400, code)
    assert text in error["message"]


async def test_every_shipped_row_that_is_not_retired_is_listed(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), list(SHIPPED.values()))
    async with client_of(app, headers=BEARER) as http:
        items = (await http.get(f"{AI}/models/search", params={"per_page": 1000})).json()["result"]
        retired = {name for name, spec in SHIPPED.items() if spec.properties.planned_deprecation_date is not None}
        assert [item["name"] for item in items] == [name for name in SHIPPED if name not in retired]
        assert len(retired) > 20
        for item in items:
            assert item["description"]
            assert item["task"]["description"], "a task that the live catalogue does not know"
            day = SHIPPED[item["name"]].created_at
            assert item["created_at"] == (None if day is None else f"{day} 00:00:00.000")


async def test_every_shipped_row_has_a_schema(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), list(SHIPPED.values()))
    async with client_of(app, headers=BEARER) as http:
        for name in (name for spec in SHIPPED.values() for name in (spec.name, *spec.aliases)):
            schema = await http.get(f"{AI}/models/schema", params={"model": name})
            assert set(schema.json()["result"]) == {"input", "output"}, name
