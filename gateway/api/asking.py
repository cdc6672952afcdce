"""From a request to what it asks, with the media that it names by address; knows no route and no answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request

from gateway.api.access import Scope
from gateway.api.bodies import (
    LARGE_BYTES,
    Asked,
    asked_of,
    is_json,
    media_type,
    off_loop,
    paced,
    query_of,
    read_body,
    to_asked,
    to_document,
)
from gateway.api.documents import decode_json, decode_media
from gateway.api.exchange import exchange_of
from gateway.api.remote.places import places
from gateway.api.state import state_of
from gateway.api.streams import unless_disconnected
from gateway.errors import BadInput
from gateway.tasks import Task


async def body_of(request: Request, limit_bytes: int) -> bytes:
    """The body, of at most `limit_bytes` and what the settings allow.

    Until the answer is over it counts towards what the caller may have the gateway hold. Raises as `read_body` does,
    and `Overloaded` where callers have sent as much as there is room for.
    """
    state, exchange = state_of(request), exchange_of(request.scope)
    settings, caller = state.settings, exchange.require(Scope.RUN)
    share = state.bodies.most // 2 if caller.sha256 else 0  # without keys there is only one caller
    exchange.body = state.bodies.portion(caller.sha256, share)
    limit_bytes = min(settings.max_body_bytes, limit_bytes)
    return await read_body(request.headers, request.receive, limit_bytes, settings.client_timeout_s, exchange.body.take)


async def read_document(request: Request, limit_bytes: int, media_fields: Iterable[str] = ()) -> tuple[Any, int]:
    """The JSON of a body of at most `limit_bytes`, and its size in bytes; raises `BadInput`.

    `media_fields` are those of an object under `input` that may be media written as numbers.
    """
    state = state_of(request)
    body = await body_of(request, limit_bytes)
    if not is_json(media_type(request.headers), body):
        raise BadInput("Type mismatch of '/', 'binary' not in 'object'")
    if len(body) > LARGE_BYTES:
        return await off_loop(state.parsing, _decoded, body, media_fields), len(body)
    return decode_json(body), len(body)


def _decoded(body: bytes, media_fields: Iterable[str]) -> Any:
    document = decode_media(body, *media_fields, inside="input")
    return decode_json(body) if document is None else document


async def asked_in(request: Request, task: Task, body: bytes) -> Asked:
    """What a body asks of a model of `task`; raises as `parsed` does."""
    state = state_of(request)
    query = query_of(request.scope["query_string"]) if task.takes_query else None
    if state.media is None or not is_json(media_type(request.headers), body):
        return await paced(state.parsing, len(body), to_asked, task, request.headers, body, query)
    document = await paced(state.parsing, len(body), to_document, task, body)
    return await parsed(request, task, document, len(body), query)


async def parsed(
    request: Request, task: Task, document: Any, size_bytes: int, query: Mapping[str, Any] | None = None
) -> Asked:
    """What a document of that size asks of a model of `task`, once its pictures are fetched where that is permitted.

    Raises `BadInput`, `BadBase64`, `Overloaded` if too many pictures are being fetched, and `RequestAborted`.
    """
    state = state_of(request)
    if state.media is not None:
        form = task.form_of(document)
        found = await paced(state.parsing, size_bytes, places, document, form.addresses)
        if found:
            bringing = state.media.bring(found, form.max_body_bytes)
            size_bytes += await unless_disconnected(bringing, request.receive)
    return await paced(state.parsing, size_bytes, asked_of, task, document, query)
