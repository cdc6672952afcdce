"""How sessions begin, are refused and end, whatever their protocol."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.api.access import Key
from gateway.api.keyfile import KeyFile, sha256
from gateway.api.live.socket import Closing, Socket
from gateway.api.live.sound import MAX_KEPT_S, MAX_PENDING_S, Sound
from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import ACCOUNT, FIXTURES, client_of, row, until
from tests.api.live.conftest import LISTEN, PCM, RATE_HZ, Live, rest, serving, sound

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLOSE = '{"type":"CloseStream"}'


async def refused(url: str, **headers: str) -> tuple[int, Any]:
    """Status and body of the answer to an upgrade that is not accepted."""
    with pytest.raises(InvalidStatus) as found:
        async with websockets.connect(url, additional_headers=headers, proxy=None):
            pass
    response = found.value.response
    assert response.headers["content-type"] == "application/json"
    (error,) = orjson.loads(response.body)["errors"]
    text = str(error["message"]).removesuffix(f" ({response.headers['cf-ai-req-id']})")
    return response.status_code, (error["code"], text.rpartition("rror: ")[2])


@pytest.mark.parametrize(
    ("name", "query", "code", "text"),
    [
        ("nobody", PCM, 5007, "No such model: No such model @cf/test/nobody or task"),
        ("classify", PCM, 5006, "this model does not speak over a WebSocket"),
        ("flux", {}, 5006, "required properties at '/' are 'encoding,sample_rate'"),
        ("flux", PCM | {"encoding": "opus"}, 5006, "'/encoding' must be one of 'linear16'"),
        ("flux", PCM | {"eager_eot_threshold": 0.2}, 5006, "'/eager_eot_threshold' must be >= 0.3"),
        ("flux", PCM | {"eot_threshold": 0.95}, 5006, "'/eot_threshold' must be <= 0.9"),
        ("flux", PCM | {"sample_rate": 48_001}, 5006, "'/sample_rate' must be <= 48000"),
        ("nova", PCM | {"sample_rate": 48_001}, 5006, "'/sample_rate' of a WebSocket must be <= 48000"),
        ("nova", PCM | {"channels": 3}, 5006, "'/channels' of a WebSocket must be <= 2"),
        ("spell", {"sample_rate": 1}, 5006, "'/sample_rate' must be >= 8000"),
        ("nova", {}, 5006, "'/encoding' of a WebSocket must be one of 'linear16' or 'mulaw'"),
        ("nova", PCM | {"endpointing": "x"}, 5006, "'/endpointing' must be false or from 0 to 60000 milliseconds"),
    ],
)  # fmt: skip
async def test_what_cannot_be_opened_is_an_http_error(live: Live, name: str, query: Any, code: int, text: str) -> None:
    assert await refused(live.url(name, **query), authorization="Bearer any") == (400, (code, text))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [({}, 400, 9106), ({"authorization": "Bearer wrong"}, 401, 10000), ({"authorization": "Basic x"}, 400, 6003)],
)
async def test_without_a_credential_nothing_is_upgraded(
    tmp_path: Path, headers: dict[str, str], status: int, code: int
) -> None:
    key = "gw_" + "k" * 43
    app = create_app(Settings(home=tmp_path, key_hashes=(sha256(key.encode()),)), [])
    async with serving(app) as live:
        for path in (f"/accounts/{ACCOUNT}/ai/run/@cf/test/flux", "/nowhere"):
            found, (number, _) = await refused(f"ws://127.0.0.1:{live.port}{path}", **headers)
            assert (found, number) == (status, code)


async def test_nowhere_is_told_apart(live: Live) -> None:
    url = f"ws://127.0.0.1:{live.port}/client/v4/accounts/{ACCOUNT}/ai/dance"
    assert await refused(url, authorization="Bearer any") == (404, (7000, "No route for that URI"))


async def test_the_model_may_be_named_in_the_query(live: Live) -> None:
    base = f"ws://127.0.0.1:{live.port}/client/v4/accounts/{ACCOUNT}/ai/run"
    headers = {"authorization": "Bearer any"}
    url = f"{base}?model=@cf/test/nova&websocket=true&encoding=linear16&sample_rate={RATE_HZ}"
    async with websockets.connect(url, additional_headers=headers, proxy=None) as client:
        await client.send(sound(1))
        await client.send(CLOSE)
        assert (await rest(client))[-1]["type"] == "Metadata"
    status, (code, text) = await refused(f"{base}?websocket=true", **headers)
    assert (status, code, text) == (400, 5006, "required properties at '/' are 'model'")


async def test_the_upgrade_carries_the_requests_id(live: Live) -> None:
    async with live.connect("flux", **PCM) as client:
        assert client.response is not None
        greeting = orjson.loads(await client.recv())
        assert client.response.headers["cf-ai-req-id"] == greeting["request_id"]


async def test_a_live_form_has_no_answer_over_http(live: Live) -> None:
    async with client_of(live.app, headers={"authorization": "Bearer any"}) as http:
        path = f"/client/v4/accounts/{ACCOUNT}/ai/run"
        for request in (
            http.post(f"{path}/@cf/test/flux", json=PCM),
            http.post(path, json={"model": "@cf/test/flux", "input": PCM}),
        ):
            response = await request
            assert response.status_code == 400
            assert "this model is spoken to over a WebSocket" in response.text


async def test_only_so_many_sessions_are_open_at_once(live: Live) -> None:
    most = live.app.state.gateway.settings.max_sessions
    async with live.connect("flux", **PCM), AsyncExitStack() as others:
        for number in range(most - 1):
            others.enter_context(live.app.state.gateway.seats.portion(number, 0).take(1))
        status, (code, _) = await refused(live.url("flux", **PCM), authorization="Bearer any")
    assert (status, code) == (429, 3040)
    async with live.connect("flux", **PCM) as client:
        await client.send(CLOSE)
        await rest(client)


async def test_one_key_has_its_share_of_the_sessions_and_others_are_unharmed(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    greedy, modest, favoured = file.create("a"), file.create("b"), file.create("c", Key("", "", max_sessions=3))
    models = [row("flux", LISTEN, f"{FIXTURES}.hears:Engine", shape="flux")]
    app = create_app(Settings(home=tmp_path, grace_s=0.0, max_sessions=5, max_sessions_per_key=2), models)
    async with serving(app) as live, AsyncExitStack() as open_now:

        async def opened(key: str) -> websockets.ClientConnection:
            return await open_now.enter_async_context(live.connect("flux", f"Bearer {key}", **PCM))

        async def denied(key: str) -> tuple[int, int]:
            status, (code, _) = await refused(live.url("flux", **PCM), authorization=f"Bearer {key}")
            return status, code

        first, _ = await opened(greedy), await opened(greedy)
        assert await denied(greedy) == (429, 3040)
        await opened(modest)
        assert await denied(greedy) == (429, 3040)
        await first.close()
        await until(lambda: app.state.gateway.seats.taken == 2)
        for _ in range(3):
            await opened(favoured)
        assert await denied(modest) == (429, 3040)  # the whole gateway is full
    await until(lambda: app.state.gateway.seats.taken == 0)


async def test_without_keys_one_caller_may_have_all_sessions(tmp_path: Path) -> None:
    models = [row("flux", LISTEN, f"{FIXTURES}.hears:Engine", shape="flux")]
    app = create_app(Settings(home=tmp_path, grace_s=0.0, max_sessions=3, max_sessions_per_key=1), models)
    async with serving(app) as live, AsyncExitStack() as open_now:
        for _ in range(3):
            await open_now.enter_async_context(live.connect("flux", **PCM))
        status, (code, _) = await refused(live.url("flux", **PCM), authorization="Bearer any")
        assert (status, code) == (429, 3040)


async def test_a_caller_who_leaves_gives_the_place_back(live: Live) -> None:
    seats = live.app.state.gateway.seats
    taken = seats.taken
    client = await live.connect("flux", **PCM)
    assert seats.taken == taken + 1
    await client.send(sound(1, 2))
    client.transport.abort()
    await until(lambda: seats.taken == taken)


async def test_sound_waits_for_room_and_is_forgotten_once_heard() -> None:
    sound_of_session = Sound(rate_hz=1000, frame_bytes=2)
    step = bytes(2 * 1000)
    for _ in range(int(MAX_PENDING_S)):
        await sound_of_session.add(step)
    waiting = asyncio.create_task(sound_of_session.add(step))
    done, _ = await asyncio.wait({waiting}, timeout=0)
    assert not done
    assert len(await sound_of_session.window()) == MAX_PENDING_S * 2000
    await waiting
    await sound_of_session.drop(MAX_PENDING_S)
    assert (sound_of_session.start_s, sound_of_session.new_s) == (MAX_PENDING_S, 1.0)


async def test_no_more_than_the_bound_is_kept_however_long_a_message_is() -> None:
    sound_of_session = Sound(rate_hz=1000, frame_bytes=2)
    adding = asyncio.create_task(sound_of_session.add(bytes(2 * 1000 * 100)))
    for _ in range(10):
        await sound_of_session.window()
        await asyncio.wait({adding}, timeout=0)
    assert sound_of_session.end_s == MAX_KEPT_S
    adding.cancel()


class Mute:
    """The sending and receiving half of a WebSocket whose caller does nothing."""

    async def receive(self) -> Any:
        await asyncio.Event().wait()


async def test_a_silent_caller_is_not_waited_for_for_ever() -> None:
    socket = Socket(Mute(), idle_s=0.01)  # type: ignore[arg-type]
    with pytest.raises(Closing, match=r"nothing was sent for 0\.01 s"):
        await socket.receive()


async def test_a_model_that_fails_closes_with_its_code(tmp_path: Path) -> None:
    models = [row("flux", LISTEN, f"{FIXTURES}.raises:Engine", shape="flux")]
    app = create_app(Settings(home=tmp_path, grace_s=0.0), models)
    async with serving(app) as live, live.connect("flux", **PCM) as client:
        await client.send(sound(1))
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await rest(client)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:5]) == (1011, "3043 ")


async def test_a_caller_who_floods_does_not_starve_another(live: Live) -> None:
    """Each session has one question in the queue at a time, so the other's turn is heard while the flood goes on."""
    async with live.connect("flux", **PCM) as loud, live.connect("flux", **PCM) as quiet:

        async def flood() -> None:
            while True:
                await loud.send(sound(1, 2, 0, 3, 0, 0))
                await asyncio.sleep(0)

        async def drain() -> None:
            while True:
                await loud.recv()

        tasks = [asyncio.create_task(flood()), asyncio.create_task(drain())]
        await quiet.send(sound(9, 0, 0))
        await quiet.send(CLOSE)
        found = await rest(quiet)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loud.transport.abort()
    assert ("EndOfTurn", "Word9.") in [(m.get("event"), m.get("transcript")) for m in found]


UPGRADE = (
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nhost: localhost\r\n"
)


@pytest.mark.parametrize(
    ("method", "query", "headers", "status"),
    [
        (b"GET", b"a" * 20_000, b"", b"414"),
        (b"GET", b"", b"x: " + b"a" * 20_000 + b"\r\n", b"431"),
        (b"GET", b"", b"x: a\r\n" * 500, b"431"),
        (b"GET", b"", b"content-length: 1000000\r\n", b"400"),
        (b"GET", b"", b"transfer-encoding: chunked\r\n", b"400"),
        (b"POST", b"", b"", b"405"),
        (b"GET", b"", b"sec-websocket-version: 12\r\n", b"400"),
    ],
    ids=["target", "header", "headers", "body", "chunks", "method", "version"],
)
async def test_an_upgrade_that_cannot_be_read_is_answered_and_its_connection_ends(
    live: Live, method: bytes, query: bytes, headers: bytes, status: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    try:
        writer.write(b"%b /a?%b HTTP/1.1\r\n%b%b\r\n" % (method, query, UPGRADE, headers))
        async with asyncio.timeout(30):
            answer = await reader.read()
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 " + status)


async def test_a_reason_has_room_in_the_close_frame_in_any_script(live: Live) -> None:
    async with live.connect("flux", **PCM) as client:
        await client.send(json.dumps({"type": "\N{SNOWMAN}" * 1000}))
        with pytest.raises(ConnectionClosed) as ended:
            await rest(client)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1008
    assert ended.value.rcvd.reason.startswith("unknown message type \N{SNOWMAN}")
