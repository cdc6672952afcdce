"""Request bodies: how many bytes are read, and what they are; knows no envelope and no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive

from gateway.api.documents import BOM, decode_json, decode_media
from gateway.api.multipart import decode_form
from gateway.errors import BadInput, MissingBody, RequestAborted, RequestTimeout, RequestTooLarge
from gateway.tasks import Task, TaskInput
from gateway.tasks.base import JSON

LARGE_BYTES = 64 * 1024
STALL_S = 60.0
MIN_BYTES_PER_S = 1024
MAX_PARAMETERS = 500
MAX_QUERY_BYTES = 32 * 1024
_VAGUE = frozenset({"", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for: the input, the form that it has and its answer gets, and whether it may wait for it."""

    input: TaskInput
    form: Task
    waits: bool = True


def may_wait(document: Any) -> bool:
    """False if the body says `options.rejectIfBusy`, which every route understands; raises `BadInput`."""
    options = document.get("options") if isinstance(document, dict) else None
    wanted = options.get("rejectIfBusy") if isinstance(options, dict) else None
    if not isinstance(wanted, bool | None):
        raise BadInput("Type mismatch of '/options/rejectIfBusy', not in 'boolean'")
    return not wanted


def asked_of(task: Task, document: Any, query: Mapping[str, Any] | None = None) -> Asked:
    """What a decoded JSON document asks of a model of `task`; raises `BadInput` or `BadBase64`."""
    form = task.form_of(document)
    return Asked(form.parse(document, query), form, may_wait(document))


async def read_body(
    headers: Headers,
    receive: Receive,
    limit_bytes: int,
    stall_s: float = STALL_S,
    take: Callable[[int], object] = lambda size_bytes: None,
) -> bytes:
    """The whole body, of which never more than `limit_bytes` and one message are held; `take` is told of each part.

    Raises `RequestTooLarge`, `MissingBody`, `RequestAborted` if the client left, `RequestTimeout` if it sent nothing
    for `stall_s`, or is that far behind `MIN_BYTES_PER_S`, and `BadInput` for a compressed body, whose real size nobody
    knows.
    """
    declared = headers.get("content-length", "0")
    if len(declared) > 18 or int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadInput(f"the body must be sent without Content-Encoding, not as '{encoding[:40]}'")
    body = bytearray()
    latest = asyncio.get_running_loop().time() + stall_s
    while True:
        try:
            async with asyncio.timeout(stall_s), asyncio.timeout_at(latest + len(body) / MIN_BYTES_PER_S):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(
                f"the body is {stall_s:g} s behind the least rate of {MIN_BYTES_PER_S} bytes a second"
            ) from None
        if message["type"] == "http.disconnect":
            raise RequestAborted
        part = message.get("body", b"")
        if len(body) + len(part) > limit_bytes:
            raise _too_large(limit_bytes)
        take(len(part))
        body += part
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


async def paced(parsing: asyncio.Semaphore, size_bytes: int, parse: Callable[..., T], *args: Any) -> T:
    """`parse(*args)`, `off_loop` if there is much to parse."""
    return await off_loop(parsing, parse, *args) if size_bytes > LARGE_BYTES else parse(*args)


def media_type(headers: Headers) -> str:
    """The body's media type without parameters, or an empty text."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(kind: str, body: bytes) -> bool:
    """Whether a body of media type `kind` is to be read as JSON.

    Many clients send JSON under no or another type (`curl -d` does), so vague types are decided by the first byte.
    """
    if kind in (JSON, "text/json") or kind.endswith("+json"):
        return True
    return kind in _VAGUE and body[:256].removeprefix(BOM).lstrip()[:1] == b"{"


def query_of(query_string: bytes) -> dict[str, Any]:
    """The parameters of a URL: a text for each, a list of texts for a repeated one. Raises `BadInput`."""
    if len(query_string) > MAX_QUERY_BYTES or query_string.count(b"&") >= MAX_PARAMETERS:
        raise BadInput(
            f"the URL must not have more than {MAX_PARAMETERS} parameters or {MAX_QUERY_BYTES} bytes of them"
        )
    found: dict[str, list[str]] = {}
    for name, value in QueryParams(query_string).multi_items():
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def to_asked(task: Task, headers: Headers, body: bytes, query: Mapping[str, Any] | None = None) -> Asked:
    """What a body with these headers asks of a model of `task`; raises `BadInput` or `BadBase64`."""
    kind = media_type(headers)
    if kind.startswith("multipart/"):
        if not task.takes_forms:
            raise BadInput("multipart bodies are not accepted by this model; send JSON")
        return Asked(task.parse_form(decode_form(headers["content-type"], body)), task)
    if is_json(kind, body):
        return asked_of(task, to_document(task, body), query)
    if task.media_field is None:
        raise BadInput("Type mismatch of '/', 'binary' not in 'object'")
    return Asked(task.parse_raw(body, query), task)


def to_document(task: Task, body: bytes) -> Any:
    """The decoded JSON of a body for a model of `task`; raises `BadInput`."""
    fields = number_fields(task.input) if len(body) > LARGE_BYTES else ()
    document = decode_media(body, *fields) if fields else None
    return decode_json(body) if document is None else document


@lru_cache
def number_fields(kind: type[TaskInput]) -> tuple[str, ...]:
    """The fields that may be media written as an array of numbers, by the input's own schema."""
    fields = kind.model_json_schema().get("properties", {}).items()
    return tuple(name for name, schema in fields if any(map(_is_bytes, (schema, *schema.get("anyOf", ())))))


def _is_bytes(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "array" and schema.get("items", {}).get("maximum") == 255
