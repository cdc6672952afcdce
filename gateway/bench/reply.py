"""One answer as its caller sees it: when it came, what it counts, what went wrong; sends nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway.errors import Overloaded, RateLimited
from gateway.tasks.amounts import Amounts
from gateway.tasks.audio_header import seconds
from gateway.tasks.image_header import measure

DONE = b"[DONE]"
# Cloudflare's codes for too much at once: of everybody, and of this caller.
BUSY = frozenset({str(Overloaded.code), str(RateLimited.code)})


@dataclass(frozen=True)
class Fault:
    """What went wrong: Cloudflare's code, or what happened to the connection, and the words for it."""

    code: str
    message: str


@dataclass
class Reply:
    """An answer. Times are seconds since the request was sent, the first and the last of content.

    `routed` is the model that answered, if it is called otherwise than the one that was asked.
    """

    status: int = 0
    seconds: float = 0.0
    first_s: float | None = None
    last_s: float = 0.0
    fault: Fault | None = None
    retry_after_s: float | None = None
    neurons: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    pieces: int = 0
    audio_s: float | None = None
    picture: tuple[int, int] | None = None
    routed: str | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the caller was asked to come again: not where a day's allowance is used up, nor a load failed."""
        return (
            self.fault is not None
            and self.status == 429
            and (self.fault.code in BUSY or self.retry_after_s is not None)
        )

    @property
    def output_tokens(self) -> int | None:
        """Tokens that were made, as counted by the server; of a stream without counts, its pieces."""
        return self.usage.get("completion_tokens") or self.pieces or None

    def amounts(self, known: Amounts) -> Amounts:
        """How much of what has a price it took; `known` is what the request told already."""
        if self.picture is not None:
            known = replace(known, picture=self.picture)
        if not self.usage:
            return known
        details = self.usage.get("prompt_tokens_details") or {}
        return replace(
            known,
            input_tokens=self.usage.get("prompt_tokens"),
            output_tokens=self.usage.get("completion_tokens"),
            cached_tokens=details.get("cached_tokens") or 0,
        )

    def content(self, now_s: float) -> None:
        """Some of the content was there at this time."""
        self.first_s = now_s if self.first_s is None else self.first_s
        self.last_s = now_s
        self.pieces += 1

    def count(self, usage: Any) -> None:
        """Take over token counts, if they are some; later ones are of more."""
        if isinstance(usage, Mapping):
            self.usage = usage
            if (neurons := usage.get("neurons")) is not None:
                self.neurons = neurons

    def take_body(self, body: bytes, media_type: str) -> None:
        """A whole answer: JSON, or media as it is."""
        if not media_type.startswith("application/json"):
            self._take_media(body)
            return
        document = _json(body)
        result = document.get("result")
        if isinstance(result, dict):
            self.count(result.get("usage"))
            for key in ("audio", "image"):
                if isinstance(result.get(key), str):
                    self._take_media(base64.b64decode(result[key]))

    def refuse(self, body: bytes) -> None:
        """An answer that says what was wrong, in Cloudflare's words or in others."""
        self.fault = _fault(_json(body)) or Fault(f"HTTP {self.status}", body[:200].decode(errors="replace"))

    def take_event(self, data: bytes, now_s: float) -> bool:
        """The data of a server-sent event; whether it says that the stream is whole."""
        if data == DONE:
            return True
        document = _json(data)
        self.fault = _fault(document) or self.fault
        if _text(document):
            self.content(now_s)
        self.count(document.get("usage"))
        return False

    def _take_media(self, data: bytes) -> None:
        self.picture = measure(data)
        self.audio_s = None if self.picture else seconds(data)


def _text(document: dict[str, Any]) -> str:
    """What an event adds to the answer, in the native form or in that of chat completions."""
    choices = document.get("choices") or [{}]
    delta = choices[0].get("delta") or choices[0]
    parts = (document.get("response"), document.get("reasoning_content"), delta.get("content"), delta.get("text"))
    return "".join(part for part in (*parts, delta.get("reasoning_content")) if isinstance(part, str))


def _fault(document: dict[str, Any]) -> Fault | None:
    errors = document.get("errors")
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        return None
    return Fault(str(errors[0].get("code", "?")), str(errors[0].get("message", "")))


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
