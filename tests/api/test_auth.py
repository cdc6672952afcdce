"""Who gets in: the order of refusals, the kinds of credential, and that every route is closed unless listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.access import Key, Scope
from gateway.api.auth import OPEN
from gateway.api.keyfile import KeyFile, sha256
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, client_of
from tests.api.walk import answer, every_route, upgrade

RUN = f"/client/v4/accounts/{ACCOUNT}/ai/run/@cf/test/nobody"
KEY = "gw_" + "k" * 43
OTHER_ACCOUNT = "f" * 32


def application(home: Path, **settings: Any) -> FastAPI:
    return create_app(Settings(home=home, **settings), [])


def with_key(home: Path, **settings: Any) -> FastAPI:
    return application(home, key_hashes=(sha256(KEY.encode()),), **settings)


def code_of(response: httpx.Response) -> int:
    return int(response.json()["errors"][0]["code"])


MISSING = (
    '{"result":null,"success":false,"errors":[{"code":9106,'
    '"message":"Missing X-Auth-Key, X-Auth-Email or Authorization headers"}],"messages":[]}'
)
UNREADABLE = (
    '{"result":null,"success":false,"errors":[{"code":6003,"message":"Invalid request headers",'
    '"error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}],"messages":[]}'
)
WRONG = '{"result":null,"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[]}'


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({}, 400, MISSING),
        ({"x-auth-key": KEY}, 400, MISSING),
        ({"x-auth-email": "a@example.com"}, 400, MISSING),
        ({"authorization": "Bearer"}, 400, UNREADABLE),
        ({"authorization": ""}, 400, UNREADABLE),
        ({"authorization": f"Basic {KEY}"}, 400, UNREADABLE),
        ({"authorization": f"Bearer {KEY} {KEY}"}, 400, UNREADABLE),
        ({"authorization": "Bearer wrong"}, 401, WRONG),
        ({"authorization": f"Bearer {KEY}x"}, 401, WRONG),
        ({"authorization": f"Bearer {KEY[:-1]}"}, 401, WRONG),
        ({"authorization": f"Bearer {sha256(KEY.encode())}"}, 401, WRONG),
        ({"authorization": "Bearer \xff\xfe"}, 401, WRONG),
        ({"x-auth-key": "wrong", "x-auth-email": "a@example.com"}, 401, WRONG),
        ({"x-auth-user-service-key": "wrong"}, 401, WRONG),
    ],
)
async def test_refusals_byte_for_byte(tmp_path: Path, headers: dict[str, str], status: int, text: str) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    async with client_of(with_key(tmp_path)) as http:
        response = await http.post(RUN, json={}, headers=raw)
    assert (response.status_code, response.text) == (status, text)
    assert response.headers["cf-ai-req-id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"x-auth-key": KEY, "x-auth-email": "a@example.com"},
        {"x-auth-user-service-key": KEY},
        {"authorization": f"Bearer {KEY}", "x-auth-key": "wrong", "x-auth-email": "a@example.com"},
    ],
)
async def test_every_kind_of_credential_opens(tmp_path: Path, headers: dict[str, str]) -> None:
    async with client_of(with_key(tmp_path)) as http:
        assert code_of(await http.post(RUN, json={}, headers=headers)) == 5007


async def test_two_authorization_headers_are_refused(tmp_path: Path) -> None:
    headers = [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer wrong")]
    async with client_of(with_key(tmp_path)) as http:
        assert code_of(await http.post(RUN, json={}, headers=headers)) == 6003


async def test_a_malformed_account_comes_before_the_credential(tmp_path: Path) -> None:
    async with client_of(with_key(tmp_path)) as http:
        response = await http.post("/client/v4/accounts/12/ai/run/x", json={})
    assert (response.status_code, code_of(response)) == (404, 7003)


@pytest.mark.parametrize(("account", "code"), [(ACCOUNT, 5007), (ACCOUNT.upper(), 5007), (OTHER_ACCOUNT, 10000)])
@pytest.mark.parametrize("has_key", [True, False])
async def test_only_configured_accounts_are_served(tmp_path: Path, account: str, code: int, has_key: bool) -> None:
    app = (with_key if has_key else application)(tmp_path, accounts=(ACCOUNT,))
    async with client_of(app, headers={"authorization": f"Bearer {KEY}"}) as http:
        assert code_of(await http.post(f"/accounts/{account}/ai/run/x", json={})) == code


OPEN_WITH_A_KEY = {("GET", "/health"), ("HEAD", "/health")}
AI = f"/accounts/{ACCOUNT}/ai"
# What each route asks of a key; None: any key will do.
NEEDED: dict[tuple[str, str], Scope | None] = {
    ("POST", f"{AI}/run/@cf/x"): Scope.RUN,
    ("POST", f"{AI}/run"): Scope.RUN,
    ("WEBSOCKET", f"{AI}/run/@cf/x"): Scope.RUN,
    ("WEBSOCKET", f"{AI}/run"): Scope.RUN,
    ("WEBSOCKET", "/nowhere/else"): None,
    ("POST", f"{AI}/v1/chat/completions"): Scope.RUN,
    ("POST", f"{AI}/v1/responses"): Scope.RUN,
    ("POST", f"{AI}/v1/embeddings"): Scope.RUN,
    ("POST", f"{AI}/v1/messages"): Scope.RUN,
    ("GET", f"{AI}/v1/models"): Scope.READ,
    ("GET", f"{AI}/v1/models/@cf/x"): Scope.READ,
    ("GET", f"{AI}/models/search"): Scope.READ,
    ("GET", f"{AI}/models/schema"): Scope.READ,
    ("GET", f"{AI}/tasks/search"): Scope.READ,
    ("GET", f"{AI}/authors/search"): Scope.READ,
    ("GET", f"{AI}/finetunes"): Scope.READ,
    ("GET", f"{AI}/finetunes/public"): Scope.READ,
    ("GET", "/user/tokens/verify"): None,
    ("GET", f"/accounts/{ACCOUNT}/tokens/verify"): None,
    ("GET", "/openapi.json"): None,
    ("HEAD", "/openapi.json"): None,
    ("GET", "/health"): None,
    ("HEAD", "/health"): None,
    ("GET", "/ready"): Scope.ADMIN,
    ("HEAD", "/ready"): Scope.ADMIN,
    ("GET", "/metrics"): Scope.ADMIN,
    ("HEAD", "/metrics"): Scope.ADMIN,
}


@pytest.mark.parametrize("held", Scope)
async def test_every_route_asks_for_the_scope_it_needs_and_no_other(tmp_path: Path, held: Scope) -> None:
    key = KeyFile(tmp_path / "keys.json").create("one", Key("", "", scopes=(held,)))
    app = application(tmp_path)
    assert set(every_route(app)) == set(NEEDED)
    for (method, path), needed in NEEDED.items():
        status, text = await answer(app, method, path, {"authorization": f"Bearer {key}"})
        assert (status == 403) is (needed not in (held, None)), (method, path)
        if status == 403 and method != "HEAD":
            assert text.startswith(WRONG[:-1]), (method, path)


async def test_a_key_without_any_scope_can_only_be_verified(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "keys.json").create("none", Key("", "", scopes=()))
    async with client_of(application(tmp_path), headers={"authorization": f"Bearer {key}"}) as http:
        assert (await http.get("/user/tokens/verify")).status_code == 200
        assert (await http.post(RUN, json={})).status_code == 403


async def test_a_key_is_good_for_its_own_accounts_alone(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "keys.json").create("one", Key("", "", accounts=(ACCOUNT,)))
    async with client_of(application(tmp_path), headers={"authorization": f"Bearer {key}"}) as http:
        for account, code in ((ACCOUNT, 5007), (ACCOUNT.upper(), 5007), (OTHER_ACCOUNT, 10000)):
            assert code_of(await http.post(f"/accounts/{account}/ai/run/x", json={})) == code
        assert (await http.get("/metrics")).status_code == 200


async def test_with_a_key_every_route_is_closed_unless_listed(tmp_path: Path) -> None:
    app = with_key(tmp_path)
    routes = every_route(app)
    assert {"/health", "/ready", "/metrics", "/openapi.json", "/user/tokens/verify"} <= {path for _, path in routes}
    assert [path for method, path in routes if method == "WEBSOCKET"], "no WebSocket was walked"
    assert set(OPEN) == {path for _, path in OPEN_WITH_A_KEY}
    for method, path in [*routes, ("GET", "/nowhere"), ("GET", "/docs"), ("DELETE", RUN), ("OPTIONS", "/metrics")]:
        if (method, path) in OPEN_WITH_A_KEY:
            continue
        for spelling in (path, f"/client/v4{path}", f"/{path}/", path.replace("/", "//")):
            bare = await answer(app, method, spelling, {})
            wrong = await answer(app, method, spelling, {"authorization": "Bearer wrong"})
            assert (bare[0], wrong[0]) == (400, 401), (method, spelling)
            if method != "HEAD":  # OpenAI's routes say more, behind the same beginning
                assert bare[1].startswith(MISSING[:-1]), (method, spelling)
                assert wrong[1].startswith(WRONG[:-1]), (method, spelling)


@pytest.mark.parametrize(
    ("path", "status"), [("/health", 200), ("/ready", 200), ("/metrics", 200), ("/openapi.json", 200), (RUN, 400)]
)
async def test_without_a_key_operators_need_none_and_callers_send_any(tmp_path: Path, path: str, status: int) -> None:
    async with client_of(application(tmp_path)) as http:
        assert (await http.get(path)).status_code == status


@pytest.mark.parametrize(
    ("host", "opens"),
    [
        ("localhost", True),
        ("localhost:8787", True),
        ("app.localhost", True),
        ("127.0.0.1:8787", True),
        ("127.8.9.1", True),
        ("[::1]:8787", True),
        ("rebound.example", False),
        ("rebound.example:8787", False),
        ("127.0.0.1.rebound.example", False),
        ("192.168.0.7", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
async def test_without_a_key_foreign_host_names_are_refused(tmp_path: Path, host: str, opens: bool) -> None:
    headers = {"authorization": "Bearer any", "host": host}
    async with client_of(application(tmp_path), headers=headers) as http:
        for path, code in ((RUN, 5007), ("/metrics", None)):
            response = await http.request("POST" if path is RUN else "GET", path)
            if opens and code is None:
                assert response.status_code == 200
            else:
                assert code_of(response) == (code if opens else 10000)


@pytest.mark.parametrize(("peer", "opens"), [("127.0.0.1", True), ("::1", True), ("192.168.0.7", False)])
async def test_without_a_key_only_this_machine_is_served(tmp_path: Path, peer: str, opens: bool) -> None:
    transport = httpx.ASGITransport(application(tmp_path), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert ((await http.get("/metrics")).status_code == 200) is opens


async def test_with_a_key_host_names_and_peers_do_not_matter(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(with_key(tmp_path), client=("192.168.0.7", 1))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.example", headers=headers) as http:
        assert code_of(await http.post(RUN)) == 5007


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
async def test_no_answer_allows_another_origin(tmp_path: Path, method: str) -> None:
    preflight = {"origin": "https://page.example", "access-control-request-method": "POST"}
    async with client_of(application(tmp_path)) as http:
        for headers in (preflight, {**preflight, "authorization": "Bearer any"}):
            for path in (RUN, "/health", "/metrics"):
                response = await http.request(method, path, headers=headers)
                assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", [RUN, f"/accounts/{ACCOUNT}/ai/run", "/health/x", "/nowhere"])
async def test_a_websocket_needs_a_credential(tmp_path: Path, path: str) -> None:
    assert await upgrade(with_key(tmp_path), path, {}) == (400, MISSING.encode())


@pytest.mark.parametrize("path", ["/user/tokens/verify", f"/accounts/{ACCOUNT}/tokens/verify"])
@pytest.mark.parametrize("prefix", ["", "/client/v4"])
async def test_a_valid_token_can_be_verified(tmp_path: Path, prefix: str, path: str) -> None:
    async with client_of(with_key(tmp_path), headers={"authorization": f"Bearer {KEY}"}) as http:
        response = await http.get(prefix + path)
    identity = response.json()["result"]["id"]
    assert response.text == (
        f'{{"result":{{"id":"{identity}","status":"active"}},"success":true,"errors":[],'
        '"messages":[{"code":10000,"message":"This API Token is valid and active","type":null}]}'
    )
    assert len(identity) == 32
    assert identity not in sha256(KEY.encode())
