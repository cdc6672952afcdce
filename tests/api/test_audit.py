"""One line in the log for each request that was turned away, which says who and where and cannot be abused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from gateway.api.access import Key, Scope
from gateway.api.audit import MAX_FIELD_CHARACTERS, shown
from gateway.api.keyfile import KeyFile
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, client_of, row
from tests.api.walk import upgrade

RUN = f"/accounts/{ACCOUNT}/ai/run/@cf/test/classify"


async def lines_of(home: Path, like: Key, *requests: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What the audit log says of requests of a key named `laptop`, one after the other."""
    key = KeyFile(home / "keys.json").create("laptop", like)
    app = create_app(Settings(home=home), [row("classify", "text-classification", "fake")])
    with structlog.testing.capture_logs([merge_contextvars]) as logs:
        async with client_of(app, headers={"authorization": f"Bearer {key}"}) as http:
            answers = [await http.request(method, path, **more) for method, path, more in requests]
    lines = [dict(line) for line in logs if line["event"] == "refused"]
    ids = [answer.headers["cf-ai-req-id"] for answer in answers]
    assert [line["request_id"] for line in lines] == [id for id in ids if id in {line["request_id"] for line in lines}]
    assert all(key not in str(line) for line in logs)
    return lines


@pytest.mark.parametrize(
    ("like", "method", "path", "headers", "status", "code", "name"),
    [
        (Key("", ""), "POST", RUN, {"authorization": "Bearer gw_secret"}, 401, 10000, ""),
        (Key("", ""), "POST", RUN, {"authorization": "secret"}, 400, 6003, ""),
        (Key("", "", accounts=("0" * 32,)), "POST", RUN, {}, 401, 10000, "laptop"),
        (Key("", "", scopes=(Scope.READ,)), "POST", RUN, {}, 403, 10000, "laptop"),
        (Key("", ""), "POST", "/accounts/12/ai/run/x", {}, 404, 7003, ""),
        (Key("", ""), "POST", RUN, {"content-length": "99999999999"}, 413, 3006, "laptop"),
        (Key("", "", scopes=(Scope.RUN,)), "GET", "/metrics", {}, 403, 10000, "laptop"),
    ],
)
async def test_a_refusal_is_one_line(
    tmp_path: Path, like: Key, method: str, path: str, headers: dict[str, str], status: int, code: int, name: str
) -> None:
    (line,) = await lines_of(tmp_path, like, (method, path, {"headers": headers}))
    assert (line["status"], line["code"], line["key"]) == (status, code, name)
    assert (line["method"], line["path"], line["peer"]) == (method, path, "127.0.0.1")
    assert line["log_level"] == "warning"
    assert "secret" not in str(line)


async def test_a_limited_request_names_key_account_and_model(tmp_path: Path) -> None:
    like = Key("", "", rate_limits={"*": 1})
    asked: tuple[str, str, dict[str, Any]] = ("POST", RUN, {"json": {"text": 5}})
    (line,) = await lines_of(tmp_path, like, asked, asked)
    assert (line["key"], line["account"], line["model"]) == ("laptop", ACCOUNT, "@cf/test/classify")
    assert (line["status"], line["code"]) == (429, 3021)


async def test_answers_and_ordinary_mistakes_are_no_refusals(tmp_path: Path) -> None:
    mistakes = [
        ("POST", RUN, {"json": {"text": 5}}),
        ("POST", RUN + "x", {"json": {}}),
        ("GET", RUN, {}),
        ("GET", "/x", {}),
    ]
    assert await lines_of(tmp_path, Key("", ""), ("GET", "/health", {}), ("GET", "/metrics", {}), *mistakes) == []


async def test_a_refused_websocket_is_a_line_too(tmp_path: Path) -> None:
    KeyFile(tmp_path / "keys.json").create()
    with structlog.testing.capture_logs() as logs:
        await upgrade(create_app(Settings(home=tmp_path), []), RUN, {"authorization": "Bearer wrong"})
    (line,) = [line for line in logs if line["event"] == "refused"]
    assert (line["method"], line["status"]) == ("WEBSOCKET", 401)


async def test_paths_cannot_forge_lines_or_fill_the_log(tmp_path: Path) -> None:
    path = "/accounts/\r\nrefused key=root \x1b[2J\u202e" + "x" * 10_000
    with structlog.testing.capture_logs() as logs:
        status, _ = await upgrade(create_app(Settings(home=tmp_path), []), path, {})
    (line,) = [line for line in logs if line["event"] == "refused"]
    assert status == 404
    assert line["path"].startswith(r"/accounts/\r\nrefused key=root \x1b[2J\u202exxx")
    assert all(len(str(value)) < 2 * MAX_FIELD_CHARACTERS for value in line.values())


@pytest.mark.parametrize("text", ["", "a", "naïve 名前", "a" * MAX_FIELD_CHARACTERS])
def test_what_prints_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_whatever_is_shown_prints_and_is_bounded() -> None:
    for char in map(chr, (*range(0x300), 0x2028, 0xD800, 0xFFFF, 0x10FFFF)):
        assert shown(char * 1000).isprintable()
        assert len(shown(char * 1000)) <= 10 * MAX_FIELD_CHARACTERS
