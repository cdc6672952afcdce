"""A model's way of writing answers as its tokenizer declares it, read by transformers' own parser; loads no model."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

import orjson

from gateway.config import ConfigError
from gateway.engines.llm.constraint import Constraint, Json
from gateway.engines.llm.dialect import Ask, Form
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.reasoning import ReasoningFormat
from gateway.errors import BadInput
from gateway.tasks import Piece

REASONING = ("reasoning_content", "reasoning", "thinking")
_MARKER = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{1,40}\]")


class Declared:
    """The `response_template` of a tokenizer. What it says can be read; calls cannot be forced by it.

    Raises `ConfigError` if transformers does not know what the template says.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        from transformers.utils.chat_parsing.response_templates import load_response_template

        try:
            self._template = load_response_template(dict(spec))
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"the tokenizer's response_template cannot be used: {error}") from None
        self.markers = tuple(dict.fromkeys(_MARKER.findall(_anchors(spec))))
        self._reasoning = _block(spec)

    def form(self, ask: Ask, special: Container[str]) -> Form:
        """The form of an answer; raises `BadInput` if it must be a call, or may be one beside a schema."""
        if ask.forced:
            raise BadInput("'/tool_choice' must be 'auto' or 'none' for this model")
        if ask.schema is not None and ask.tools:
            raise BadInput("'/tool_choice' must be 'none' beside '/response_format' for this model")
        answer: Constraint | None = None
        if ask.schema is not None:
            answer = Json(ask.schema)
            if self._reasoning is not None:
                state = self._reasoning.state_after(ask.prompt)
                answer = self._reasoning.before(answer, state, ask.think)
        return Form(answer, lambda: _DeclaredReader(self._template, ask))


class _DeclaredReader:
    """Gives text and reasoning as they come, and a call when its region closes.

    The parser is fed character by character, so that a region it cannot parse ends where it stands.
    """

    def __init__(self, template: Any, ask: Ask) -> None:
        self._template = template
        self._tools: list[Any] = [tool.as_openai() for tool in ask.tools]
        self._parser = self._new_parser(ask.prompt)
        self._gains = Gains(ask.most)
        self._held: list[str] = []

    def _new_parser(self, prefix: str) -> Any:
        from transformers.utils.chat_parsing import ResponseParser

        return ResponseParser(self._template, prefix=prefix, tools=self._tools)

    def feed(self, text: str) -> Piece:
        """What the new text gives."""
        for char in text:
            try:
                events = self._parser.feed(char)
            except (ValueError, TypeError, KeyError):
                self._give_back()
                self._parser = self._new_parser("")
                continue
            self._take(events)
        return self._gains.piece()

    def end(self, finish_reason: str) -> Piece:
        """What was held back."""
        try:
            self._take(self._parser.finalize()[1])
        except (ValueError, TypeError, KeyError):
            if finish_reason != "length":
                self._give_back()
        return self._gains.last(finish_reason)

    def _give_back(self) -> None:
        self._gains.text("".join(self._held))
        self._held.clear()

    def _take(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            field, kind = event["field"], event["type"]
            if kind == "region_chunk" and field == "content":
                self._gains.text(event["text"])
            elif kind == "region_chunk" and field in REASONING:
                self._gains.reasoning(event["text"])
            elif kind == "region_chunk" and field == "tool_calls":
                self._held.append(event["text"])
            elif kind == "region_close" and field in REASONING:
                self._gains.end_reasoning()
            elif kind == "region_close" and field == "tool_calls":
                self._call(event["value"])

    def _call(self, value: Any) -> None:
        calls = [_named(item) for item in (value if isinstance(value, list) else [value])]
        for call in calls:
            if call is not None:
                self._gains.begin_call(call[0])
                self._gains.arguments(orjson.dumps(call[1]).decode())
        if not any(calls):
            self._give_back()
        self._held.clear()


def _named(value: Any) -> tuple[str, dict[str, Any]] | None:
    """The name and arguments of one call."""
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    arguments = function.get("arguments") or {}
    return (function["name"], arguments) if isinstance(arguments, dict) else None


def _anchors(spec: Mapping[str, Any]) -> str:
    """All that opens and closes a field, with the backslashes of its patterns taken away."""
    found: list[str] = []
    for field in spec.get("fields", {}).values():
        for key in ("open", "open_pattern", "close", "close_pattern"):
            anchor = field.get(key, ())
            found += [anchor.replace("\\", "")] if isinstance(anchor, str) else list(anchor)
    return " ".join(found)


def _block(spec: Mapping[str, Any]) -> ReasoningFormat | None:
    """The block of reasoning, if it is between two plain strings."""
    fields: Mapping[str, Any] = spec.get("fields", {})
    field: Mapping[str, Any] = next((fields[name] for name in REASONING if name in fields), {})
    opening, closing = field.get("open"), field.get("close")
    if isinstance(opening, str) and isinstance(closing, str):
        return ReasoningFormat(opening, closing)
    return None
