"""The official client walks the catalogue, synchronously and asynchronously, and comes to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import cloudflare
import pytest
import pytest_asyncio
from cloudflare import AsyncCloudflare, Cloudflare

from tests.server import ACCOUNT, Server, gateway, write_models

NAMES = ["@cf/meta/chat", "@cf/baai/embed", "@hf/meta/speak"]
ROWS = (
    "{name: '@cf/meta/chat', task: text-generation, engine: fake_chat, properties: {beta: true}}",
    "{name: '@cf/baai/embed', task: text-embeddings, engine: fake, source: 'file:/'}",
    "{name: '@hf/meta/speak', task: text-to-speech, engine: fake}",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    models = write_models(home / "models.yaml", *ROWS)
    with gateway("--models", str(models), "--home", str(home), "--offline") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client:
        yield client


@pytest_asyncio.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncCloudflare]:
    async with AsyncCloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client:
        yield client


def names(items: Any) -> list[str]:
    return [item["name"] for item in items]


@pytest.mark.parametrize("per_page", [1, 2, 3, 100])
def test_the_list_ends(client: Cloudflare, per_page: int) -> None:
    assert names(client.ai.models.list(account_id=ACCOUNT, per_page=per_page)) == NAMES


def test_the_list_ends_without_a_page_size(client: Cloudflare) -> None:
    assert names(client.ai.models.list(account_id=ACCOUNT)) == NAMES


async def test_the_list_ends_asynchronously(async_client: AsyncCloudflare) -> None:
    found = [item async for item in async_client.ai.models.list(account_id=ACCOUNT, per_page=2)]
    assert names(found) == NAMES


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"author": "meta"}, ["@cf/meta/chat", "@hf/meta/speak"]),
        ({"hide_experimental": True}, ["@cf/baai/embed", "@hf/meta/speak"]),
        ({"include_deprecated": True}, NAMES),
        ({"search": "emb"}, ["@cf/baai/embed"]),
        ({"search": "nonsense"}, []),
        ({"source": 2}, ["@hf/meta/speak"]),
        ({"task": "Text-to-Speech"}, ["@hf/meta/speak"]),
    ],
)
def test_filters_arrive_as_the_client_writes_them(
    client: Cloudflare, filters: dict[str, Any], expected: list[str]
) -> None:
    assert names(client.ai.models.list(account_id=ACCOUNT, **filters)) == expected


def test_weights_on_this_machine_are_told(client: Cloudflare) -> None:
    (item,) = client.ai.models.list(account_id=ACCOUNT, search="embed")
    assert isinstance(item, dict)
    assert {"property_id": "gateway_pulled", "value": "true"} in item["properties"]


def test_the_schema_of_a_model(client: Cloudflare) -> None:
    schema = client.ai.models.schema.get(account_id=ACCOUNT, model="@cf/baai/embed")
    assert schema.input.type == "object"
    assert schema.to_dict()["input"]["required"] == ["text"]
    assert schema.to_dict()["output"]["properties"]["data"]["type"] == "array"


async def test_the_schema_of_a_model_asynchronously(async_client: AsyncCloudflare) -> None:
    schema = await async_client.ai.models.schema.get(account_id=ACCOUNT, model="@cf/baai/embed")
    assert schema.input.type == "object"


def test_the_schema_of_no_model(client: Cloudflare) -> None:
    with pytest.raises(cloudflare.BadRequestError) as found:
        client.ai.models.schema.get(account_id=ACCOUNT, model="@cf/none/such")
    assert [error.code for error in found.value.errors] == [5007]


def test_tasks_and_authors(client: Cloudflare) -> None:
    assert names(client.ai.tasks.list(account_id=ACCOUNT)) == ["Text Generation", "Text Embeddings", "Text-to-Speech"]
    assert names(client.ai.authors.list(account_id=ACCOUNT)) == ["meta", "baai"]


async def test_tasks_and_authors_asynchronously(async_client: AsyncCloudflare) -> None:
    tasks = [item async for item in async_client.ai.tasks.list(account_id=ACCOUNT)]
    authors = [item async for item in async_client.ai.authors.list(account_id=ACCOUNT)]
    assert (len(tasks), names(authors)) == (3, ["meta", "baai"])
