"""Request bodies: how many bytes are read, and what they are; knows no envelope and no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive

from gateway.errors import BadInput, MissingBody, RequestAborted, RequestTimeout, RequestTooLarge
from gateway.tasks import Task, TaskInput
from gateway.tasks.base import JSON

LARGE_BYTES = 64 * 1024
STALL_S = 60.0
MAX_CONTAINERS = 500_000
MAX_DEPTH = 100
_BOM = b"\xef\xbb\xbf"
_VAGUE = frozenset({"", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"})
T = TypeVar("T")


async def read_body(headers: Headers, receive: Receive, limit_bytes: int, stall_s: float = STALL_S) -> bytes:
    """The whole body, of which never more than `limit_bytes` and one message are held.

    Raises `RequestTooLarge`, `MissingBody`, `RequestAborted` if the client left, `RequestTimeout` if it sent nothing
    for `stall_s`, and `BadInput` for a compressed body, whose real size nobody knows.
    """
    declared = headers.get("content-length", "0")
    if len(declared) > 18 or int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadInput(f"the body must be sent without Content-Encoding, not as '{encoding[:40]}'")
    body = bytearray()
    while True:
        try:
            async with asyncio.timeout(stall_s):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(f"no data for {stall_s:g} s before the end of the body") from None
        if message["type"] == "http.disconnect":
            raise RequestAborted
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            break
    if not body:
        raise MissingBody
    return bytes(body)


def _too_large(limit_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body is larger than {limit_bytes} bytes")


async def off_loop(parsing: asyncio.Semaphore, parse: Callable[..., T], *args: Any) -> T:
    """`parse(*args)` in a thread, so that between its steps other requests get their turn."""
    async with parsing:
        return await asyncio.to_thread(parse, *args)


def media_type(headers: Headers) -> str:
    """The body's media type without parameters, or an empty text."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(kind: str, body: bytes) -> bool:
    """Whether a body of media type `kind` is to be read as JSON.

    Many clients send JSON under no or another type (`curl -d` does), so vague types are decided by the first byte.
    """
    if kind in (JSON, "text/json") or kind.endswith("+json"):
        return True
    return kind in _VAGUE and body[:256].removeprefix(_BOM).lstrip()[:1] == b"{"


def decode_json(body: bytes) -> Any:
    """The document in `body` (RFC 8259; UTF-8; of equal keys the last counts).

    Raises `BadInput` with the position of a fault, beyond `MAX_DEPTH` levels (validation and packing recurse), and
    beyond `MAX_CONTAINERS` arrays and objects (each takes dozens of bytes of memory for two of JSON).
    """
    containers = body.count(b"[") + body.count(b"{")
    if containers > MAX_CONTAINERS:
        raise BadInput(f"the body has more than {MAX_CONTAINERS} arrays and objects")
    try:
        document = orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"invalid JSON, {error}") from None
    if containers > MAX_DEPTH and _is_too_deep(document):
        raise BadInput(f"the body is nested deeper than {MAX_DEPTH} levels")
    return document


def _is_too_deep(document: Any) -> bool:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def to_input(task: Task, kind: str, body: bytes) -> TaskInput:
    """The task input that a body of media type `kind` describes; raises `BadInput` or `BadBase64`."""
    if kind.startswith("multipart/"):
        raise BadInput("multipart bodies are not accepted by this model; send JSON")
    if is_json(kind, body):
        return task.parse(decode_json(body))
    if task.media_field is None:
        raise BadInput("Type mismatch of '/', 'binary' not in 'object'")
    return task.parse_raw(body)
