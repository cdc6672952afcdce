"""Tells a model of tools whose chat template knows none, in the form of Hermes; knows no template."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson

from gateway.engines.llm.template import Turn
from gateway.engines.llm.template_traits import Traits
from gateway.engines.llm.turns import joined, text_of, with_system
from gateway.tasks.tools import Tool

_INSTRUCTIONS = """You can call functions to help the user. These are the functions, each as JSON with a JSON Schema \
of its arguments:
<tools>
{tools}
</tools>
To call a function, answer with its name and arguments as JSON between <tool_call> and </tool_call>, like this:
<tool_call>
{{"name": "name_of_the_function", "arguments": {{"name_of_the_argument": "value"}}}}
</tool_call>"""


def with_tools(turns: Sequence[Turn], tools: Sequence[Tool], traits: Traits) -> list[Turn]:
    """The turns with the tools in the system message, and earlier calls and results as text.

    Results are words of the user, those that follow each other in one turn: such templates know no other role for
    them.
    """
    told: list[Turn] = []
    for is_result, group in groupby(turns, key=lambda turn: turn["role"] == "tool"):
        if is_result:
            told.append({"role": "user", "content": joined(*map(_result, group))})
        else:
            told += map(_without_calls, group)
    if not tools:
        return told
    listed = "\n".join(orjson.dumps(tool.as_openai()).decode() for tool in tools)
    return with_system(told, _INSTRUCTIONS.format(tools=listed), traits)


def _result(turn: Turn) -> Any:
    content = turn["content"]
    shown = f"<tool_response>\n{text_of(content)}\n</tool_response>"
    return shown if isinstance(content, str) else [{"type": "text", "text": shown}]


def _without_calls(turn: Turn) -> Turn:
    calls = [call["function"] for call in turn.get("tool_calls", ())]
    if not calls:
        return turn
    blocks = "\n".join(f"<tool_call>\n{orjson.dumps(call).decode()}\n</tool_call>" for call in calls)
    return {key: value for key, value in turn.items() if key != "tool_calls"} | {
        "content": joined(turn["content"], blocks)
    }
