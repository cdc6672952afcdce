"""Requests that must be refused, each with its status and code (docs/api.md); knows no model but by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config import ModelSpec
from scripts.benchmarks.client import Address, post
from scripts.benchmarks.server import ACCOUNT, run_path


@dataclass(frozen=True)
class Malformed:
    """Bytes on the wire, and what they are refused with."""

    name: str
    request: bytes
    status: int
    code: int


def malformed(address: Address, rows: Sequence[ModelSpec]) -> list[Malformed]:
    """What any gateway must refuse, and what these rows must."""
    path = run_path(rows[0].name)
    bare = f"POST {path} HTTP/1.1\r\nhost: {address.host}\r\ncontent-length: 0\r\n\r\n".encode()
    found = [
        Malformed("no such model", post(address, run_path("@cf/no/model"), b'{"text": "a"}'), 400, 5007),
        Malformed("no such route", post(address, f"/client/v4/accounts/{ACCOUNT}/ai/no", b"{}"), 404, 7000),
        Malformed("another method", post(address, path, b"").replace(b"POST", b"PUT", 1), 405, 7001),
        Malformed("no credentials", bare, 400, 9106),
        Malformed("no account", post(address, path.replace(ACCOUNT, "me"), b'{"text": "a"}'), 404, 7003),
        Malformed("half a JSON document", post(address, path, b'{"text": '), 400, 5006),
        Malformed("no field of the task", post(address, path, b'{"unheard": "of"}'), 400, 5006),
    ]
    for row in rows:
        match row.task:
            case "text-generation":
                body = b'{"prompt": "a", "max_tokens": 1e12}'
                found.append(Malformed("endless answer", post(address, run_path(row.name), body), 413, 5021))
            case "automatic-speech-recognition":
                body = bytes(range(256)) * 64
                found.append(Malformed("no audio", post(address, run_path(row.name), body, "audio/mpeg"), 400, 5006))
            case "image-classification":
                body = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 64
                found.append(Malformed("no picture", post(address, run_path(row.name), body, "image/jpeg"), 400, 5006))
    return found
