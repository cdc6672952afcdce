"""Reads what another server says is wrong, whatever its form, in bounded words without addresses; judges nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

MAX_CHARACTERS = 300
_ADDRESS = re.compile(
    r"\w+://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\blocalhost(?::\d+)?\b|(?<![\w'])(?:/[\w.@-]+){2,}/?"
)
# Theirs to ours, where the names differ.
_NAMES = {
    "repeat_penalty": "repetition_penalty",
    "json_schema": "response_format",
    "enable_thinking": "chat_template_kwargs",
}
_FIELDS = (
    *("messages", "prompt", "max_tokens", "temperature", "top_p", "top_k", "seed", "n", "stop", "ignore_eos"),
    *("repetition_penalty", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "chat_template_kwargs", "reasoning_effort"),
    *_NAMES,
)
_QUOTED = re.compile(r"['\"`/](" + "|".join(_FIELDS) + r")\b")
_GRAMMAR = re.compile(r"(?:AiError: (?:[A-Z][\w' ]*: )?(?:Error: )?)?(.*?)(?: \([0-9a-f-]{36}\))?", re.DOTALL)
_BARE = re.compile(r"\b(" + "|".join(name for name in _FIELDS if "_" in name or name == "temperature") + r")\b")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says is wrong: a sentence, the field if it names one, its own code or type, further numbers.

    `code` is that of another gateway.
    """

    sentence: str
    field: str | None = None
    kind: str = ""
    prompt_tokens: int | None = None
    window: int | None = None
    code: int = 0


def read_complaint(data: bytes) -> Complaint:
    """What the body of an error says, whatever its form."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return Complaint(clean(data.decode("utf-8", "replace")))
    return complaint_of(body)


def complaint_of(body: Any) -> Complaint:
    """The forms of OpenAI, llama.cpp, vLLM, FastAPI and this gateway; anything else is a complaint without words."""
    if isinstance(body, dict) and isinstance(body.get("errors"), list) and body["errors"]:
        return _gateways(body["errors"][0])
    while isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if isinstance(body, dict) and isinstance(body.get("detail"), list) and body["detail"]:
        first = body["detail"][0]
        location = first.get("loc") if isinstance(first, dict) else None
        field = str(location[-1]) if isinstance(location, list) and location else None
        return Complaint(clean(str(first.get("msg", "") if isinstance(first, dict) else first)), _ours(field))
    if not isinstance(body, dict):
        return Complaint(clean(body) if isinstance(body, str) else "")
    text = next((body[key] for key in ("message", "detail", "error") if isinstance(body.get(key), str)), "")
    kind = " ".join(str(body[key]) for key in ("type", "code") if body.get(key) is not None)
    param = body.get("param")
    tokens, window = (
        value if isinstance(value := body.get(key), int) else None for key in ("n_prompt_tokens", "n_ctx")
    )
    return Complaint(clean(text), _ours(param) if isinstance(param, str) else _field_in(text), kind, tokens, window)


def _gateways(entry: Any) -> Complaint:
    """One of `errors` of Cloudflare's envelope, without what the gateway in front will put around it again."""
    if not isinstance(entry, dict):
        return Complaint("")
    text, code = entry.get("message"), entry.get("code")
    found = _GRAMMAR.fullmatch(text) if isinstance(text, str) else None
    sentence = clean(found[1]) if found is not None else ""
    return Complaint(sentence, _field_in(sentence), code=code if isinstance(code, int) else 0)


def clean(text: str) -> str:
    """The first sentence or so, on one line, without addresses and paths of the machines behind the gateway."""
    line = " ".join(_ADDRESS.sub("[…]", text[: 4 * MAX_CHARACTERS]).split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"


def _field_in(text: str) -> str | None:
    found = _QUOTED.search(text) or _BARE.search(text)
    return _ours(found[1]) if found is not None else None


def _ours(field: str | None) -> str | None:
    name = (field or "").split(".")[0].split("[")[0]
    return _NAMES.get(name, name) if name in _FIELDS else None
