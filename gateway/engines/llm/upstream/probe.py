"""Asks a server what it is and whether it is ready; knows no request for text."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.upstream.dialect import dialect_of
from gateway.engines.llm.upstream.events import Unreadable, read_object
from gateway.engines.llm.upstream.options import UpstreamOptions
from gateway.engines.llm.upstream.request import Facts

ANSWER_S = 10.0
# On every answer of a gateway.
REQUEST_ID = "cf-ai-req-id"
MAX_BODY_BYTES = 1 << 20


class NotReady(Exception):
    """The server does not answer, or says that it is still loading; the text says which."""


async def read_facts(client: httpx.AsyncClient, url: str, spec: ModelSpec, options: UpstreamOptions) -> Facts:
    """What the server at `url` says of itself.

    Raises `NotReady`, and `ConfigError` where waiting will not help: a wrong key, or no name for the model.
    """
    health = await _get(client, f"{url.removesuffix('/v1')}/health")
    if health.status == 503:
        raise NotReady("it is still loading")
    status, headers, body = await _get(client, f"{url}/models")
    is_gateway = REQUEST_ID in headers
    if status in (401, 403) or (is_gateway and status == 400):
        raise ConfigError(f"row {spec.name}: the server refuses the key (options: api_key_file, api_key_env)")
    if status == 503:
        raise NotReady("it is still loading")
    listed = _listed(body) if status == 200 else []
    if not (listed or is_gateway or options.model):
        raise ConfigError(f"row {spec.name}: options.model: must be set, because the server lists no models")
    # Another gateway has the same names, and may list none of them.
    name = options.model or (spec.name if is_gateway else listed[0]["id"])
    own = next((entry for entry in listed if entry["id"] == name), listed[0] if listed else {})
    windows = [window for window in (_window(own), spec.context_window) if window]
    return Facts(
        model=name,
        dialect=dialect_of(options.server, str(own.get("owned_by", "")), is_gateway=is_gateway),
        window=min(windows, default=None),
        adapters=frozenset(entry["id"] for entry in listed if entry.get("parent")),
    )


async def answers(client: httpx.AsyncClient, url: str, within_s: float) -> bool:
    """Whether the server says anything at all to a question that needs no work."""
    try:
        await _get(client, f"{url.removesuffix('/v1')}/health", within_s)
    except NotReady:
        return False
    return True


async def is_listening(url: str, connect_s: float) -> bool:
    """Whether a connection can be made."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(connect_s):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class _Answer(NamedTuple):
    """What a server says to a question; the body is bounded."""

    status: int
    headers: httpx.Headers
    body: bytes


async def _get(client: httpx.AsyncClient, address: str, within_s: float = ANSWER_S) -> _Answer:
    """The answer; raises `NotReady` if there is none in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s), client.stream("GET", address) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    break
            return _Answer(response.status_code, response.headers, bytes(body))
    except (httpx.HTTPError, TimeoutError) as error:
        raise NotReady(f"it does not answer ({type(error).__name__})") from None


def _listed(body: bytes) -> list[dict[str, Any]]:
    try:
        entries = read_object(body).get("data")
    except Unreadable as error:
        raise NotReady("it answers something else than a list of models") from error
    found = entries if isinstance(entries, list) else []
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]]


def _window(entry: dict[str, Any]) -> int | None:
    """`max_model_len` of vLLM and SGLang, `meta.n_ctx` of llama.cpp: the window of one of its slots."""
    meta = entry.get("meta")
    for window in (entry.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None):
        if isinstance(window, int) and window > 0:
            return window
    return None
