"""The official clients name pictures by https address, as they do on the service, and a real gateway fetches them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import pytest
import pytest_asyncio
from cloudflare import AsyncCloudflare
from openai import AsyncOpenAI

from tests.api.conftest import until
from tests.api.remote.pictures import CAT, DOG, Pictures, pictures, self_signed, tls_of
from tests.fixtures.engines.shows import digest
from tests.server import ACCOUNT, Server, gateway, write_models

ROW = "task: text-generation, engine: 'tests.fixtures.engines.shows:Seer'"
CHAT, SEE = "@test/chat", "@test/see"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Served:
    """A gateway, and the server that it may fetch from."""

    server: Server
    site: Pictures


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    home = tmp_path_factory.mktemp("home")
    certificate = self_signed(home, "localhost")
    models = write_models(
        home / "models.yaml",
        f"{{name: '{CHAT}', {ROW}}}",
        f"{{name: '{SEE}', task: image-to-text, shape: moondream, engine: 'tests.fixtures.engines.shows:Seer'}}",
    )
    async with pictures(tls=tls_of(certificate)) as site:
        environment = {
            "GATEWAY_MEDIA_HOSTS": f"private:https://localhost:{site.port}",
            "SSL_CERT_FILE": str(certificate),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        starting = gateway("--models", str(models), "--home", str(home), env=environment)
        server = await asyncio.to_thread(starting.__enter__)
        try:
            yield Served(server, site)
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


def asked(*urls: str) -> list[Any]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}]


async def test_cloudflares_client_gets_an_answer_about_both_pictures(served: Served) -> None:
    urls = [served.site.url(path, "localhost") for path in ("/cat.png", "/dog.jpg")]
    async with AsyncCloudflare(api_token="any", base_url=served.server.base_url, max_retries=0) as client:
        result: Any = await client.ai.run(CHAT, account_id=ACCOUNT, messages=asked(*urls))
        assert result["response"] == f"{digest(CAT)} {digest(DOG)}"
        body = {"image": urls[0], "question": "?"}
        result = await client.ai.run(SEE, account_id=ACCOUNT, extra_body=body)
        assert result["answer"] == digest(CAT)


async def test_openais_client_streams_an_answer_about_a_picture(served: Served) -> None:
    base_url = f"{served.server.base_url}/accounts/{ACCOUNT}/ai/v1"
    async with AsyncOpenAI(api_key="any", base_url=base_url, max_retries=0) as client:
        url = served.site.url("/cat.png", "localhost")
        stream = await client.chat.completions.create(model=CHAT, messages=asked(url), stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(said) == digest(CAT)


async def test_a_host_beyond_the_list_is_a_bad_request(served: Served) -> None:
    before = served.site.connections
    async with AsyncCloudflare(api_token="any", base_url=served.server.base_url, max_retries=0) as client:
        url = served.site.url("/cat.png", "127.0.0.1")
        with pytest.raises(cloudflare.BadRequestError) as found:
            await client.ai.run(CHAT, account_id=ACCOUNT, messages=asked(url))
    (error,) = found.value.errors
    assert error.code == 5006
    assert "'/messages/0/content/0/image_url/url': leads to a host that" in str(error.message)
    assert served.site.connections == before


async def not_found(served: Served) -> None:
    """Ask for what is not there, until the log has it."""
    before = logged(served, "its server answers with status 404")
    url = served.site.url("/gone.png?signature=hunter2", "localhost")
    async with httpx.AsyncClient(headers={"authorization": "Bearer any"}) as http:
        answer = await http.post(served.server.run_url(SEE), json={"image": url, "question": "?"})
    assert "its server answers with status 404" in answer.text
    await until(lambda: logged(served, "its server answers with status 404") > before)


def logged(served: Served, text: str) -> int:
    return sum(text in line for line in served.server.log)


async def test_the_log_names_the_host_but_no_secret_of_the_address(served: Served) -> None:
    await not_found(served)
    (line, *_) = [line for line in served.server.log if "media not fetched" in line and "404" in line]
    assert "localhost" in line
    assert logged(served, "hunter2") == 0


async def test_a_caller_who_leaves_stops_the_fetch(served: Served) -> None:
    served.site.left.clear()
    heads = len(served.site.heads)
    body = {"image": served.site.url("/silent", "localhost"), "question": "?"}
    async with httpx.AsyncClient(headers={"authorization": "Bearer any"}) as http:
        asking = asyncio.create_task(http.post(served.server.run_url(SEE), json=body))
        await until(lambda: len(served.site.heads) > heads)
        asking.cancel()
    async with asyncio.timeout(30):
        await served.site.left.wait()
    await not_found(served)
    assert logged(served, "did not arrive") == 0, "the gateway's own deadline ended the fetch"
