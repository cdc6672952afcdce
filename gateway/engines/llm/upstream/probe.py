"""Asks a server what it is and whether it is ready; knows no request for text."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.upstream.dialect import dialect_of
from gateway.engines.llm.upstream.events import Unreadable, read_object
from gateway.engines.llm.upstream.options import UpstreamOptions
from gateway.engines.llm.upstream.request import Facts

ANSWER_S = 10.0
MAX_BODY_BYTES = 1 << 20


class NotReady(Exception):
    """The server does not answer, or says that it is still loading; the text says which."""


async def read_facts(client: httpx.AsyncClient, url: str, spec: ModelSpec, options: UpstreamOptions) -> Facts:
    """What the server at `url` says of itself.

    Raises `NotReady`, and `ConfigError` where waiting will not help: a wrong key, or no name for the model.
    """
    health, _ = await _get(client, f"{url.removesuffix('/v1')}/health")
    if health == 503:
        raise NotReady("it is still loading")
    status, body = await _get(client, f"{url}/models")
    if status in (401, 403):
        raise ConfigError(f"row {spec.name}: the server refuses the key (options: api_key_file, api_key_env)")
    if status == 503:
        raise NotReady("it is still loading")
    listed = _listed(body) if status == 200 else []
    if not listed and options.model is None:
        raise ConfigError(f"row {spec.name}: options.model: must be set, because the server lists no models")
    own = next((entry for entry in listed if entry["id"] == options.model), listed[0] if listed else {})
    windows = [window for window in (_window(own), spec.context_window) if window]
    return Facts(
        model=options.model or own["id"],
        dialect=dialect_of(options.server, str(own.get("owned_by", ""))),
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


async def _get(client: httpx.AsyncClient, address: str, within_s: float = ANSWER_S) -> tuple[int, bytes]:
    """Status and bounded body; raises `NotReady` if there is no answer in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s), client.stream("GET", address) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    break
            return response.status_code, bytes(body)
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
