"""Management commands over a Unix socket that only its owner can open; knows no command's meaning.

One JSON object a line in, `{"command": NAME}`, and one out: `{"result": …}` or `{"error": text}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

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
        listener = _bound(path)
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


def _bound(path: Path) -> socket.socket:
    """A socket at `path`, in a folder that nobody else can enter; one that a killed server left is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_served(path):
        raise OSError(f"another server listens at {path}")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError:
        listener.close()
        raise
    return listener


def is_served(path: Path) -> bool:
    """Whether a gateway listens there: one that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


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
