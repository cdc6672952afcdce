"""Requests of many kinds by a seed, and for each the answers that the documents allow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.chaos.test_life import row
from tests.server import ACCOUNT

BYSTANDER = "bystander"
# What a kill may make of a request: its worker ended, ended twice, is not back yet, or many wait for it.
HARMED = {(500, 3043), (408, 3046), (503, 3050), (429, 3040)}


def rows(more: str = "") -> list[str]:
    """Models that are killed, `VICTIMS`, and one that is not."""

    def generating(name: str, engine: str, more: str = "") -> str:
        return row(name, engine, more).replace("text-classification", "text-generation")

    return [
        row("classify", "raises", more),
        row("count", "miscounts", more),
        generating("stream", "counts", f"{more}, max_streams: 8"),
        generating("say", "scripted", f", shape: chat-completion{more}"),
        row(BYSTANDER),
    ]


VICTIMS = ("classify", "count", "stream", "say")


@dataclass(frozen=True)
class Exchange:
    """One request and what has to be said to it: `expected` judges a success, `refusals` are status and code."""

    model: str
    body: bytes
    expected: Callable[[httpx.Response], bool] | None = None
    refusals: frozenset[tuple[int, int]] = frozenset()
    route: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    def path(self) -> str:
        """Below the base URL."""
        return f"/accounts/{ACCOUNT}/ai/{self.route or f'run/@test/{self.model}'}"

    def fault(self, answer: httpx.Response) -> str:
        """Why this is not an answer that may be given; empty if it may."""
        if answer.status_code == 200:
            is_right = self.expected is not None and self.expected(answer)
            return "" if is_right else f"a wrong answer: {answer.text[-300:]}"
        found = _refusal(answer)
        allowed = set(self.refusals) | (HARMED if self.model in VICTIMS else set())
        return "" if found in allowed else f"not to be said here: {found} {answer.text[:300]}"

    def is_harmed(self, answer: httpx.Response) -> bool:
        """Whether a kill is why this was refused."""
        return answer.status_code != 200 and _refusal(answer) not in self.refusals


def _refusal(answer: httpx.Response) -> tuple[int, int]:
    errors = answer.json().get("errors") or [answer.json()["error"]]
    return answer.status_code, int(errors[0].get("code", 0))


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def _echoes(model: str, text: str) -> Exchange:
    return Exchange(model, _json(text=text), lambda answer: answer.json()["result"] == [{"label": text, "score": 1.0}])


def _fails(model: str, text: str) -> Exchange:
    return Exchange(model, _json(text=text), refusals=frozenset({(500, 3043)}))


def _counted(prompt: str, tokens: int) -> list[str]:
    return [f"{prompt}{number} " for number in range(1, tokens + 1)]


def _whole(prompt: str, tokens: int) -> Exchange:
    body = _json(prompt=prompt, max_tokens=tokens)
    return Exchange(
        "stream", body, lambda answer: answer.json()["result"]["response"] == "".join(_counted(prompt, tokens))
    )


def data_of(answer: httpx.Response) -> list[str]:
    """What each server-sent event holds."""
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]


def _streams(prompt: str, tokens: int) -> Exchange:
    """Every piece once and in order, then either `[DONE]` or one error."""

    def is_right(answer: httpx.Response) -> bool:
        *pieces, last = data_of(answer)
        text = "".join(str(json.loads(piece).get("response") or "") for piece in pieces)
        wanted = "".join(_counted(prompt, tokens))
        if last == "[DONE]":
            return text == wanted
        (error,) = json.loads(last)["errors"]
        return wanted.startswith(text) and error["code"] in {code for _, code in HARMED}

    return Exchange("stream", _json(prompt=prompt, max_tokens=tokens, stream=True), is_right)


def _chats(words: str, stream: bool) -> Exchange:
    def is_right(answer: httpx.Response) -> bool:
        if not stream:
            return str(answer.json()["choices"][0]["message"]["content"]).strip() == words
        *pieces, last = data_of(answer)
        if last != "[DONE]":
            return "error" in last
        choices = [choice for piece in pieces for choice in json.loads(piece)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices).strip() == words

    asked = _json(model="@test/say", messages=[{"role": "user", "content": words}], stream=stream)
    return Exchange("say", asked, is_right, route="v1/chat/completions")


def _bad(model: str, body: bytes, status: int, code: int) -> Exchange:
    return Exchange(model, body, refusals=frozenset({(status, code)}))


def exchange(number: int, seed: Random) -> Exchange:
    """The request of that number: of ten, four go to the bystander and one is no request."""
    text, tokens = f"text {number}", seed.randint(1, 30)
    kinds: list[tuple[int, Callable[[], Exchange]]] = [
        (40, lambda: _echoes(BYSTANDER, text)),
        (15, lambda: _echoes("classify", text)),
        (3, lambda: _fails("classify", f"poison {number}")),
        (7, lambda: _echoes("count", text)),
        (2, lambda: _fails("count", "short")),
        (8, lambda: _whole(f"p{number}-", tokens)),
        (10, lambda: _streams(f"p{number}-", tokens)),
        (3, lambda: _chats(f"these words {number}", stream=False)),
        (2, lambda: _chats(f"these words {number}", stream=True)),
        (2, lambda: _bad(BYSTANDER, b"{", 400, 5006)),
        (2, lambda: _bad(BYSTANDER, b"", 400, 3003)),
        (2, lambda: _bad("classify", _json(text=number), 400, 5006)),
        (2, lambda: _bad("nobody", _json(text=text), 400, 5007)),
        (2, lambda: _bad("stream", _json(prompt=text, max_tokens=0), 400, 5006)),
    ]
    weights, makers = zip(*kinds, strict=True)
    (make,) = seed.choices(makers, weights)
    return make()
