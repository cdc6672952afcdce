"""The catalogue: which models it lists, in what shape, page by page."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from tests.api.conftest import ACCOUNT, BEARER, Served, client_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
AI = f"/client/v4/accounts/{ACCOUNT}/ai"
TODAY = datetime.now(UTC).date()
CHAT: dict[str, Any] = {
    "name": "@cf/meta/chat-1b",
    "description": "Chats in English",
    "task": "text-generation",
    "engine": "fake_chat",
    "source": "hf:meta-llama/chat-1b@abc",
    "aliases": ["chat"],
    "dtype": "bfloat16",
    "context_window": 60000,
    "created_at": "2024-09-25",
    "properties": {
        "price": [{"unit": "per M input tokens", "price": 0.027}, {"unit": "per M output tokens", "price": 0.201}],
        "function_calling": True,
        "reasoning_effort": {"supported_efforts": ["low", "high"], "default_effort": "low"},
        "planned_deprecation_date": str(TODAY + timedelta(days=30)),
    },
}
EMBED: dict[str, Any] = {
    "name": "@cf/baai/embed",
    "description": "384 dimensions",
    "task": "text-embeddings",
    "engine": "fake",
    "properties": {"output_dimensions": 384, "info": "https://example.com/embed"},
}
BETA: dict[str, Any] = {"name": "@hf/meta/beta", "task": "text-generation", "engine": "fake_chat"}
MINE: dict[str, Any] = {"name": "mine", "task": "automatic-speech-recognition", "shape": "whisper", "engine": "fake"}
PAST = {"@cf/old/yesterday": 0, "@cf/old/two-months": 60, "@cf/old/year": 365}
ROWS = [
    CHAT,
    EMBED,
    BETA | {"properties": {"beta": True}},
    MINE,
    *(
        EMBED | {"name": name, "properties": {"planned_deprecation_date": str(TODAY - timedelta(days=days))}}
        for name, days in PAST.items()
    ),
]
CURRENT = ["@cf/meta/chat-1b", "@cf/baai/embed", "@hf/meta/beta", "mine"]


@pytest_asyncio.fixture(loop_scope="session")
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with `ROWS`, none of which is loaded."""
    app = create_app(Settings(home=tmp_path), [ModelSpec.model_validate(row) for row in ROWS])
    async with client_of(app, headers=BEARER) as client:
        yield client


async def found(http: httpx.AsyncClient, **parameters: Any) -> list[str]:
    answer = await http.get(f"{AI}/models/search", params=parameters)
    assert answer.status_code == 200
    return [item["name"] for item in answer.json()["result"]]


async def test_an_item_has_the_shape_that_clients_know(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{AI}/models/search")
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["result", "success", "errors", "messages", "result_info"]
    item = answer.json()["result"][0]
    identity = item.pop("id")
    assert uuid.UUID(identity).version == 5
    assert (await http.get(f"{AI}/models/search")).json()["result"][0]["id"] == identity
    task = item.pop("task")
    assert (task["id"], task["name"]) == ("c329a1f9-323d-4e91-b2aa-582dd4188d34", "Text Generation")
    assert task["description"]
    prices = [
        {"unit": "per M input tokens", "price": 0.027, "currency": "USD"},
        {"unit": "per M output tokens", "price": 0.201, "currency": "USD"},
    ]
    effort = {
        "supported_efforts": ["low", "high"],
        "default_effort": "low",
        "mandatory": False,
        "default_enabled": True,
    }
    assert item.pop("properties") == [
        {"property_id": "context_window", "value": "60000"},
        {"property_id": "price", "value": prices},
        {"property_id": "function_calling", "value": "true"},
        {"property_id": "reasoning_effort", "value": effort},
        {"property_id": "planned_deprecation_date", "value": CHAT["properties"]["planned_deprecation_date"]},
        {"property_id": "gateway_state", "value": "unloaded"},
        {"property_id": "gateway_pulled", "value": "false"},
    ]
    assert item == {
        "source": 1,
        "name": "@cf/meta/chat-1b",
        "description": "Chats in English",
        "created_at": "2024-09-25 00:00:00.000",
        "tags": [],
    }


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({}, CURRENT),
        ({"search": "CHAT"}, ["@cf/meta/chat-1b"]),
        ({"search": "384 dim"}, ["@cf/baai/embed"]),
        ({"search": "no such model"}, []),
        ({"search": ""}, CURRENT),
        ({"author": "Meta"}, ["@cf/meta/chat-1b", "@hf/meta/beta"]),
        ({"author": "met"}, []),
        ({"task": "Text Generation"}, ["@cf/meta/chat-1b", "@hf/meta/beta"]),
        ({"task": "text embeddings"}, ["@cf/baai/embed"]),
        ({"task": "Text"}, []),
        ({"source": 1}, ["@cf/meta/chat-1b", "@cf/baai/embed"]),
        ({"source": "2.0"}, ["@hf/meta/beta"]),
        ({"source": 0}, ["mine"]),
        ({"hide_experimental": "true"}, ["@cf/meta/chat-1b", "@cf/baai/embed", "mine"]),
        ({"hide_experimental": "false"}, CURRENT),
        ({"include_deprecated": "true"}, [*CURRENT, "@cf/old/yesterday", "@cf/old/two-months"]),
        ({"author": "meta", "source": 2, "unknown": "x"}, ["@hf/meta/beta"]),
    ],
)
async def test_filters(http: httpx.AsyncClient, parameters: dict[str, Any], names: list[str]) -> None:
    assert await found(http, **parameters) == names


@pytest.mark.parametrize("per_page", [1, 2, 3, 4, 100])
async def test_pages_hold_every_model_once_and_end_with_an_empty_one(http: httpx.AsyncClient, per_page: int) -> None:
    seen: list[str] = []
    for page in range(1, len(CURRENT) + 2):
        answer = (await http.get(f"{AI}/models/search", params={"page": page, "per_page": per_page})).json()
        assert answer["result_info"] == {
            "count": len(answer["result"]),
            "page": page,
            "per_page": per_page,
            "total_count": len(CURRENT),
            "total_pages": -(-len(CURRENT) // per_page),
        }
        if not answer["result"]:
            break
        seen += [item["name"] for item in answer["result"]]
    assert answer["result"] == []
    assert seen == CURRENT


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"page": 0}, "'/page' must be >= 1"),
        ({"page": "x"}, "Type mismatch of '/page', 'string' not in 'integer'"),
        ({"page": 10**30}, "'/page' must be <= 1000000000"),
        ({"per_page": -1}, "'/per_page' must be >= 1"),
        ({"per_page": 1001}, "'/per_page' must be <= 1000"),
        ({"source": "cf"}, "Type mismatch of '/source', 'string' not in 'number'"),
        ({"hide_experimental": "maybe"}, "Type mismatch of '/hide_experimental', 'string' not in 'boolean'"),
        ({"format": "xml"}, "'/format' must be one of 'openrouter'"),
    ],
)
async def test_a_parameter_out_of_bounds_is_named(
    http: httpx.AsyncClient, parameters: dict[str, Any], text: str
) -> None:
    answer = await http.get(f"{AI}/models/search", params=parameters)
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"]) == (400, 5006)
    assert text in error["message"]


async def test_the_marketplace_form_has_no_envelope_and_prices_per_token(http: httpx.AsyncClient) -> None:
    answer = (await http.get(f"{AI}/models/search", params={"format": "openrouter"})).json()
    assert list(answer) == ["data"]
    chat, beta = answer["data"]
    assert chat == {
        "id": "@cf/meta/chat-1b",
        "name": "chat-1b",
        "description": "Chats in English",
        "hugging_face_id": "meta-llama/chat-1b",
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "quantization": "bf16",
        "pricing": {"prompt": "0.000000027", "completion": "0.000000201"},
        "supported_sampling_parameters": chat["supported_sampling_parameters"],
        "supported_features": ["tools"],
        "created": 1727222400,
        "context_length": 60000,
        "max_output_length": 60000,
        "deprecation_date": CHAT["properties"]["planned_deprecation_date"],
    }
    assert {"temperature", "top_p", "seed", "max_tokens"} <= set(chat["supported_sampling_parameters"])
    assert beta["pricing"] == {"prompt": "0", "completion": "0"}
    assert "context_length" not in beta
    past = await http.get(f"{AI}/models/search", params={"format": "openrouter", "page": 2})
    assert past.json() == {"data": []}


async def test_tasks_and_authors_are_those_of_the_models(http: httpx.AsyncClient) -> None:
    tasks = (await http.get(f"{AI}/tasks/search")).json()
    assert [task["name"] for task in tasks["result"]] == [
        "Text Generation",
        "Text Embeddings",
        "Automatic Speech Recognition",
    ]
    assert tasks["result"][1]["id"] == "0137cdcf-162a-4108-94f2-1ca59e8c65ee"
    authors = (await http.get(f"{AI}/authors/search")).json()
    assert [author["name"] for author in authors["result"]] == ["meta", "baai", "old"]
    assert len({author["id"] for author in authors["result"]}) == 3


@pytest.mark.parametrize("path", ["models/search", "models/schema?model=mine", "tasks/search", "authors/search"])
async def test_no_route_is_open(http: httpx.AsyncClient, path: str) -> None:
    del http.headers["authorization"]
    answer = await http.get(f"{AI}/{path}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 9106)


async def test_a_loaded_model_says_so_and_where(served: Served) -> None:
    await served.run("classify", json={"text": "hi"})
    answer = (await served.http.get(f"{AI}/models/search", params={"search": "classify"})).json()
    (item,) = answer["result"]
    properties = {row["property_id"]: row["value"] for row in item["properties"]}
    assert properties == {"gateway_state": "ready", "gateway_device": "cpu"}


async def test_the_openapi_document_has_the_parameters(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    search = paths["/accounts/{account_id}/ai/models/search"]["get"]["parameters"]
    assert {"author", "page", "per_page", "task", "format"} <= {parameter["name"] for parameter in search}
    schema = paths["/accounts/{account_id}/ai/models/schema"]["get"]["parameters"]
    assert ("model", True) in {(parameter["name"], parameter["required"]) for parameter in schema}
