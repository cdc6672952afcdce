"""The header that says how long a model stays loaded."""

from __future__ import annotations

import math

import pytest
from starlette.datastructures import Headers

from gateway.api.keep_alive import HEADER, LONGEST_S, keep_alive_s
from gateway.errors import BadInput
from tests.api.conftest import Served


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("300", 300.0),
        (" 1.5 ", 1.5),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1500ms", 1.5),
        ("-1", math.inf),
        ("-5m", math.inf),
        (f"{LONGEST_S:.0f}", LONGEST_S),
    ],
)
def test_seconds_and_durations(text: str, seconds: float) -> None:
    assert keep_alive_s(Headers({HEADER: text})) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 m", "m", "1d", "1e9", "nan", "inf", "--1", "5m!", "8h" * 99, "9" * 99])
def test_anything_else_is_refused_with_the_headers_name(text: str) -> None:
    with pytest.raises(BadInput, match=HEADER):
        keep_alive_s(Headers({HEADER: text}))


def test_without_the_header_the_row_decides() -> None:
    assert keep_alive_s(Headers({})) is None


@pytest.mark.asyncio(loop_scope="session")
async def test_a_bad_header_is_a_bad_request(served: Served) -> None:
    response = await served.run("classify", json={"text": "a"}, headers={HEADER: "forever"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 5006)
    assert HEADER in response.json()["errors"][0]["message"]
