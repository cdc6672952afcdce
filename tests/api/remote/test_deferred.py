"""Batches whose pictures are at addresses: checked when they are taken, fetched when they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.app import create_app
from gateway.config import Settings
from gateway.runtime.batch_store import BatchStore, item
from gateway.runtime.batches import FETCHED_AT_ONCE
from gateway.tasks.image import MAX_PICTURES
from tests.api.conftest import ACCOUNT, BEARER, client_of, row, run_path, until
from tests.api.remote.pictures import CAT, DOG, Pictures, pictures
from tests.api.test_batches import QUEUED, finished
from tests.fixtures.engines.shows import digest

SHOWS = "tests.fixtures.engines.shows"
ROWS = [row("chat", "text-generation", f"{SHOWS}:Seer"), row("classify", "image-classification", f"{SHOWS}:Classifier")]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def serving(home: Path, *hosts: str, max_cost: tuple[str, ...] = ()) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that may fetch from `hosts`."""
    app = create_app(Settings(home=home, grace_s=0.0, media_hosts=hosts, max_cost=max_cost), ROWS)
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        yield http


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Pictures]:
    async with pictures() as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory, site: Pictures) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(tmp_path_factory.mktemp("deferred"), site.url("", "127.0.0.1")) as http:
        yield http


async def results(http: httpx.AsyncClient, model: str, requests: list[Any]) -> list[Any]:
    """What becomes of a batch: each result, or the text of its error."""
    taken = await http.post(run_path(model) + QUEUED, json={"requests": requests})
    assert taken.status_code == 202, taken.text
    done = await finished(http, run_path(model), taken.json()["result"]["request_id"])
    return [told["result"] if told["success"] else told["errors"][0]["message"] for told in done["responses"]]


def refusal(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, 5006)
    return str(error["message"])


def shown(*urls: str) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}]
    }


async def test_each_request_of_a_batch_gets_its_own_pictures(http: httpx.AsyncClient, site: Pictures) -> None:
    cat, dog = site.url("/cat.png", "127.0.0.1"), site.url("/dog.jpg", "127.0.0.1")
    found = await results(http, "chat", [shown(cat, dog), shown(dog), {"prompt": cat}])
    assert [one["response"] for one in found] == [f"{digest(CAT)} {digest(DOG)}", digest(DOG), ""]


async def test_an_address_that_gives_no_picture_spares_the_other_requests(
    http: httpx.AsyncClient, site: Pictures
) -> None:
    paths = ("/cat.png", "/gone.png", "/dog.jpg")
    found = await results(http, "classify", [{"image": site.url(path, "127.0.0.1")} for path in paths])
    assert [found[0][0]["label"], found[2][0]["label"]] == [digest(CAT), digest(DOG)]
    assert "'/image': its server answers with status 404" in found[1]
    (beyond,) = await results(http, "classify", [{"image": site.url("/cat.png", "localhost")}])
    assert "'/image': leads to a host that this gateway does not fetch media from" in beyond


async def test_what_else_is_wrong_refuses_the_batch_before_anything_is_fetched(
    http: httpx.AsyncClient, site: Pictures
) -> None:
    before, cat = site.connections, site.url("/cat.png", "127.0.0.1")
    many = shown(*[cat] * (MAX_PICTURES + 1))
    for request, text in (
        (shown(cat) | {"temperature": 9}, "in '/requests/1': '/temperature'"),
        (many, f"in '/requests/1': '/messages/0/content/{MAX_PICTURES}/image_url/url': a request must not have more"),
        (shown(cat) | {"stream": True}, "'/requests/1/stream' cannot be true"),
    ):
        body = {"requests": [{"prompt": "a"}, request]}
        assert text in refusal(await http.post(run_path("chat") + QUEUED, json=body))
    assert site.connections == before


async def test_a_batch_that_an_earlier_process_took_is_fetched_for_as_the_settings_are_now(
    tmp_path: Path, site: Pictures
) -> None:
    url, hosts = site.url("/cat.png", "127.0.0.1"), [(), (site.url("", "127.0.0.1"),)]
    found = []
    for number, permitted in enumerate(hosts):
        home = tmp_path / str(number)
        kept = [item({"image": url}, None, has_addresses=True)]
        batch = BatchStore(home / "batches").add(ACCOUNT, "@cf/test/classify", "default", kept)
        async with serving(home, *permitted) as http:
            found += (await finished(http, run_path("classify"), batch.id))["responses"]
    assert "'/image': an address, where the file itself is expected" in found[0]["errors"][0]["message"]
    assert found[1]["result"][0]["label"] == digest(CAT)


async def test_no_more_pictures_are_held_for_batches_than_the_bound(tmp_path: Path, site: Pictures) -> None:
    before, gate = site.connections, tmp_path / "gate"
    gated = row("gated", "image-classification", f"{SHOWS}:Gated", max_batch_items=64, options={"gate": str(gate)})
    settings = Settings(home=tmp_path, grace_s=0.0, media_hosts=(site.url("", "127.0.0.1"),))
    app = create_app(settings, [*ROWS, gated])
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        model = app.state.gateway.registry.get("@cf/test/gated")
        requests = [{"image": site.url("/cat.png", "127.0.0.1")}] * (FETCHED_AT_ONCE + 4)
        ending = asyncio.create_task(results(http, "gated", requests))
        await until(lambda: sum(model.status()[key] for key in ("waiting", "running")) >= FETCHED_AT_ONCE)
        assert (await http.post(run_path("chat"), json={"prompt": "a"})).status_code == 200
        assert site.connections - before == FETCHED_AT_ONCE
        gate.touch()
        assert [found[0]["label"] for found in await ending] == [digest(CAT)] * len(requests)
    assert site.connections - before == len(requests)


async def test_a_picture_counts_towards_the_cost_once_it_is_fetched(tmp_path: Path, site: Pictures) -> None:
    async with serving(tmp_path, site.url("", "127.0.0.1"), max_cost=("pixels=1000",)) as http:
        (refused,) = await results(http, "classify", [{"image": site.url("/cat.png", "127.0.0.1")}])
    assert "1200" in refused
    assert "1000" in refused


async def test_without_a_list_a_batch_with_an_address_is_not_taken(tmp_path: Path, site: Pictures) -> None:
    before = site.connections
    async with serving(tmp_path) as http:
        body = {"requests": [{"image": site.url("/cat.png", "127.0.0.1")}]}
        message = refusal(await http.post(run_path("classify") + QUEUED, json=body))
    assert "in '/requests/0': '/image': an address" in message
    assert site.connections == before
