"""Bodies of all requests together: what one key sends and never finishes costs the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from gateway.api.keyfile import KeyFile
from gateway.app import body_budget_bytes, create_app
from gateway.config import GIB, MIB, Settings
from tests.api.conftest import row, run_path, until
from tests.api.live.conftest import serving

BUDGET = 80_000
UNFINISHED = b'{"text": "'


class Client:
    """Sends the parts of one request by hand, with its key."""

    def __init__(self, port: int, key: str, route: str = run_path("classify")) -> None:
        self._port = port
        self._head = f"POST {route} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, part: bytes, length: int) -> None:
        """The head, and a part of a body of that length."""
        self._open = await asyncio.open_connection("127.0.0.1", self._port)
        self._open[1].write(f"{self._head}content-length: {length}\r\n\r\n".encode() + part)
        await self._open[1].drain()

    async def answer(self) -> tuple[int, int]:
        """Status and code, 0 for a success; then the connection is closed."""
        assert self._open is not None
        reader, writer = self._open
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        writer.close()
        errors = json.loads(body)["errors"]
        return int(head.split()[1]), errors[0]["code"] if errors else 0

    async def ask(self) -> tuple[int, int]:
        """The answer to a whole small request."""
        await self.send(b'{"text":"a"}', 12)
        return await self.answer()

    def leave(self) -> None:
        assert self._open is not None
        self._open[1].transport.abort()


async def test_unfinished_bodies_of_one_key_have_a_bound_and_others_are_answered(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    greedy, modest = file.create("a"), file.create("b")
    settings = Settings(home=tmp_path, grace_s=0.0, body_budget_bytes=BUDGET)
    app = create_app(settings, [row("classify", "text-classification", "fake")])
    async with serving(app) as live, contextlib.AsyncExitStack() as stack:
        bodies = app.state.gateway.bodies
        held = [Client(live.port, greedy) for _ in range(3)]
        for number, client in enumerate(held, 1):
            stack.callback(client.leave)
            await client.send(UNFINISHED.ljust(13_000), 60_000)
            await until(lambda number=number: bodies.taken == number * 13_000)  # type: ignore[misc]
        for route in (run_path("classify"), run_path("")[: -len("/@cf/test/")]):
            more = Client(live.port, greedy, route)
            await more.send(UNFINISHED.ljust(13_000), 60_000)
            assert await more.answer() == (429, 3040)
        assert await Client(live.port, modest).ask() == (200, 0)
        assert bodies.taken == 39_000
        held[0].leave()
        await until(lambda: bodies.taken == 26_000)
        assert await Client(live.port, greedy).ask() == (200, 0)
    await until(lambda: bodies.taken == 0)


async def test_without_keys_one_caller_may_use_all_of_it_and_no_more(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, grace_s=0.0, body_budget_bytes=BUDGET)
    app = create_app(settings, [row("classify", "text-classification", "fake")])
    async with serving(app) as live:
        held, more = Client(live.port, "any"), Client(live.port, "any")
        await held.send(UNFINISHED.ljust(75_000), 90_000)
        await until(lambda: app.state.gateway.bodies.taken == 75_000)
        await more.send(UNFINISHED.ljust(10_000), 60_000)
        assert await more.answer() == (429, 3040)
        held.leave()


def test_the_default_follows_the_memory_and_holds_two_of_the_largest_bodies(tmp_path: Path) -> None:
    assert 200 * MIB <= body_budget_bytes(Settings(home=tmp_path)) <= GIB
    assert body_budget_bytes(Settings(home=tmp_path, max_body_bytes=3 * GIB)) == 6 * GIB
    assert body_budget_bytes(Settings(home=tmp_path, body_budget_bytes=5000)) == 5000
