"""Management commands over a Unix socket that only its owner can open; knows no command's meaning.

One JSON object a line in, `{"command": NAME}`, and one out: `{"result": …}` or `{"error": text}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from gateway.api.socket_file import listen
from gateway.errors import GatewayError

MAX_LINE_BYTES = 1 << 16
Command = Callable[[], Awaitable[object]]
log = structlog.get_logger("gateway.control")


@asynccontextmanager
async def control(path: Path, commands: Mapping[str, Command]) -> AsyncIterator[None]:
    """Serve `commands` at `path` (mode 0600) until the end of the block; without the socket if it cannot be had."""
    open_now: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            await _converse(reader, writer, commands)
        finally:
            open_now.discard(task)

    try:
        listener = listen(path)
        server = await asyncio.start_unix_server(accepted, sock=listener, limit=MAX_LINE_BYTES)
    except OSError as error:
        log.warning("no management socket", path=str(path), reason=error.strerror or str(error))
        yield
        return
    try:
        yield
    finally:
        server.close()
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        await asyncio.to_thread(path.unlink, missing_ok=True)


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: Mapping[str, Command]
) -> None:
    try:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(await _answer(line, commands)).encode() + b"\n")
                await writer.drain()
    finally:
        writer.close()


async def _answer(line: bytes, commands: Mapping[str, Command]) -> dict[str, object]:
    try:
        name = json.loads(line)["command"]
        command = commands[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"error": f'expected {{"command": …}} with one of {", ".join(sorted(commands))}'}
    try:
        return {"result": await command()}
    except GatewayError as error:
        return {"error": error.detail}
    except Exception:
        log.exception("command failed", command=name)
        return {"error": "the command failed; the server's log has the reason"}
