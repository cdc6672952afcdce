"""One gateway with the starter models for all conformance tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloudflare import Cloudflare

from tests.server import Server, gateway, write_models

SAY = "@cf/test/say"


@pytest.fixture(scope="session")
def starters() -> Iterator[Server]:
    """The default models; the first use fetches their weights into the store."""
    with gateway() as server:
        yield server


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An engine that says what its prompt tells it to, as a row of each family of answers."""
    engine = "task: text-generation, engine: 'tests.fixtures.engines.scripted:Engine'"
    rows = [f"{{name: '{SAY}', {engine}}}", f"{{name: '{SAY}-chat', shape: chat-completion, {engine}}}"]
    models = write_models(tmp_path_factory.mktemp("scripted") / "models.yaml", *rows)
    with gateway("--models", str(models), env={"GATEWAY_OPENAI_MODELS": "true"}) as server:
        yield server


@pytest.fixture
def client(starters: Server) -> Iterator[Cloudflare]:
    """The official client, without retries so that each failure is seen."""
    with Cloudflare(api_token="any", base_url=starters.base_url, max_retries=0) as client:
        yield client
