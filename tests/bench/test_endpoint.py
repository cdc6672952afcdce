"""Where requests go: addresses as people write them, and whether that is this machine."""

from __future__ import annotations

import pytest

from gateway.bench.endpoint import Endpoint


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8787", "http://127.0.0.1:8787/", "http://127.0.0.1:8787/client/v4", "http://[::1]:8787"]
)
def test_an_address_may_have_the_usual_endings(url: str) -> None:
    endpoint = Endpoint(url)
    assert endpoint.run_path("@cf/a/b").endswith(f":8787/client/v4/accounts/{'0' * 32}/ai/run/@cf/a/b")
    assert endpoint.is_here


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://localhost:1", True),
        ("http://127.9.9.9", True),
        ("https://api.cloudflare.com", False),
        ("http://192.168.1.2:8787", False),
        ("http://localhost.example.com", False),
    ],
)
def test_what_leaves_this_machine_is_known(url: str, is_here: bool) -> None:
    assert Endpoint(url).is_here is is_here


def test_a_key_is_not_part_of_what_is_printed() -> None:
    assert "secret" not in repr(Endpoint("http://localhost", key="secret"))
