"""JSON documents from strangers: bounded, and media written as numbers decoded in steps; knows no task."""

from __future__ import annotations

import operator
import re
import secrets
import time
from typing import Any

import orjson

from gateway.config import MIB
from gateway.errors import BadInput

MAX_DECODED_MIB = 64
MAX_DEPTH = 100
STEP_BYTES = 24 * 1024
BOM = b"\xef\xbb\xbf"
# What decoding takes at its peak for a small one of each: measured, with orjson 3.11 and CPython 3.11.
_OBJECT_BYTES, _ARRAY_BYTES, _TEXT_BYTES, _VALUE_BYTES = 200, 88, 190, 84


def decode_json(body: bytes) -> Any:
    """The document in `body` (RFC 8259; UTF-8; of equal keys the last counts).

    Raises `BadInput` with the position of a fault, beyond `MAX_DEPTH` levels (validation and packing recurse), and
    for so many values that they would take more than `MAX_DECODED_MIB`: one can be thirty times its size in JSON.
    """
    containers = body.count(b"[") + body.count(b"{")
    if _decoded_bytes(body) > MAX_DECODED_MIB * MIB:
        raise BadInput(f"the body has so many values that they would take more than {MAX_DECODED_MIB} MiB of memory")
    try:
        document = orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"invalid JSON, {error}") from None
    if containers > MAX_DEPTH and _is_too_deep(document):
        raise BadInput(f"the body is nested deeper than {MAX_DEPTH} levels")
    return document


def _decoded_bytes(body: bytes) -> int:
    """An estimate of what the values in `body` take beside their own characters."""
    quotes = body.count(b'"') - body.count(b'\\"')
    counts = (body.count(b"{"), body.count(b"["), quotes // 2, body.count(b","))
    return sum(map(operator.mul, counts, (_OBJECT_BYTES, _ARRAY_BYTES, _TEXT_BYTES, _VALUE_BYTES)))


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


def decode_media(body: bytes, *keys: str, inside: str | None = None) -> dict[str, Any] | None:
    """The object in `body`, with the arrays of numbers under these keys already as `bytes`.

    The keys are those of the object itself or, if `inside` is named, of the object under that key of it.

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
    holder = document.get(inside) if isinstance(document, dict) and inside is not None else document
    if not isinstance(holder, dict) or any(holder.get(key) != mark for key, (mark, _) in found.items()):
        return None
    holder.update((key, media) for key, (_, media) in found.items())
    return document


def _take_array(body: bytes, key: str, found: dict[str, tuple[str, bytes]]) -> bytes:
    """`body` with a mark in place of the array under `key`, which goes into `found`; `body` itself without one.

    A quoted key inside a text is written with backslashes, so what is found is a key, but perhaps a deeper one or
    one of two: only if the mark stands where it belongs is the array the value of `key`.
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
