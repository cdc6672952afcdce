"""Feeds a reader the way a stream does, cut anywhere, and keeps what it gave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from gateway.engines.llm.dialect import Ask, Dialect, Marked
from gateway.engines.llm.output import Reader
from gateway.engines.llm.tool_formats import FORMATS
from gateway.tasks.generation import Choice
from gateway.tasks.tools import Tool

Call = tuple[str, dict[str, Any]]
cuts = st.lists(st.integers(1, 7), max_size=40)


def tool(name: str, required: Sequence[str] = (), **properties: Any) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return Tool(name=name, description=f"Does {name}.", parameters=parameters)


TOOLS = (
    tool(
        "get_weather",
        ["city"],
        city={"type": "string"},
        days={"type": "integer"},
        hot={"type": "boolean"},
        places={"type": "array", "items": {"type": "string"}},
        where={"type": "object"},
    ),
    tool("now"),
)


def read(reader: Reader, text: str, sizes: Sequence[int] = (), reason: str = "stop") -> Choice:
    """What a stream of `text`, in pieces of these sizes and one of the rest, comes to."""
    choice = Choice(0)
    at = 0
    for size in sizes:
        choice.add(reader.feed(text[at : at + size]))
        at += size
    choice.add(reader.feed(text[at:]))
    choice.add(reader.end(reason))
    return choice


def reader_of(name: str, ask: Ask | None = None) -> Reader:
    """The reader of a tool format, without reasoning."""
    return form_reader(Marked(None, FORMATS[name]), ask)


def form_reader(dialect: Dialect, ask: Ask | None = None) -> Reader:
    return dialect.form(ask or Ask(tools=TOOLS), ()).reader()


def calls_of(choice: Choice) -> list[Call]:
    return [(call.name, json.loads(call.arguments)) for call in choice.tool_calls]


def told(choice: Choice) -> tuple[Any, ...]:
    """All of a choice but the ids of its calls, which are made up."""
    calls = [(call.name, call.arguments) for call in choice.tool_calls]
    return choice.text, choice.reasoning, calls, choice.finish_reason
