"""One gateway with the starter models for all conformance tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloudflare import Cloudflare

from tests.server import Server, gateway


@pytest.fixture(scope="session")
def starters() -> Iterator[Server]:
    """The default models; the first use fetches their weights into the store."""
    with gateway() as server:
        yield server


@pytest.fixture
def client(starters: Server) -> Iterator[Cloudflare]:
    """The official client, without retries so that each failure is seen."""
    with Cloudflare(api_token="any", base_url=starters.base_url, max_retries=0) as client:
        yield client
