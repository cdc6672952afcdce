"""JSON documents from strangers: bounded, and media written as numbers decoded in steps; knows no task."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import orjson

from gateway.errors import BadInput

MAX_CONTAINERS = 500_000
MAX_DEPTH = 100
STEP_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"


def decode_json(body: bytes) -> Any:
    """The document in `body` (RFC 8259; UTF-8; of equal keys the last counts).

    Raises `BadInput` with the position of a fault, beyond `MAX_DEPTH` levels (validation and packing recurse), and
    beyond `MAX_CONTAINERS` arrays and objects (each takes dozens of bytes of memory for two of JSON).
    """
    containers = body.count(b"[") + body.count(b"{")
    if containers > MAX_CONTAINERS:
        raise BadInput(f"the body has more than {MAX_CONTAINERS} arrays and objects")
    try:
        document = orjson.loads(body.removeprefix(BOM))
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


def decode_media(body: bytes, *keys: str) -> dict[str, Any] | None:
    """The object in `body`, with the arrays of numbers under these top-level keys already as `bytes`.

    None if there is no such array, or if anything is not plain: `decode_json` then finds the fault. A decoder keeps
    Python's lock for as long as it runs, which for a song in numbers is half a second, in whichever thread it is;
    here other threads get their turn every `STEP_BYTES`.
    """
    found: dict[str, tuple[str, bytes]] = {}
    try:
        for key in keys:
            body = _take_array(body, key, found)
        document = decode_json(body) if found else None
    except (ValueError, TypeError, BadInput):
        return None
    if not isinstance(document, dict) or any(document.get(key) != mark for key, (mark, _) in found.items()):
        return None
    return document | {key: media for key, (_, media) in found.items()}


def _take_array(body: bytes, key: str, found: dict[str, tuple[str, bytes]]) -> bytes:
    """`body` with a mark in place of the array under `key`, which goes into `found`; `body` itself without one.

    A quoted key inside a text is written with backslashes, so what is found is a key, but perhaps a deeper one or
    one of two: only if the mark stands at the top is the array the value of `key`.
    """
    start = re.search(rb'"%b"\s*:\s*\[' % re.escape(key.encode()), body)
    end = body.find(b"]", start.end()) if start else -1
    if start is None or end < 0:
        return body
    mark = secrets.token_hex(16)
    found[key] = mark, _decode_numbers(body, start.end(), end)
    return b'%b"%b"%b' % (body[: start.end() - 1], mark.encode(), body[end + 1 :])


def _decode_numbers(body: bytes, start: int, end: int) -> bytes:
    """The numbers from `start` to `end`; raises `ValueError` or `TypeError` unless all are integers from 0 to 255."""
    media = bytearray()
    while start <= end:
        comma = body.find(b",", start + STEP_BYTES, end)
        stop = comma if comma >= 0 else end
        numbers = orjson.loads(b"[%b]" % body[start:stop])
        if not numbers:
            raise ValueError("no number after a comma")
        media += bytes(numbers)
        start = stop + 1
        time.sleep(0)
    return bytes(media)
