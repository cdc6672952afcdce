"""Tells a model of tools whose chat template knows none, in the form of Hermes; knows no template."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.engines.llm.template import Turn
from gateway.engines.llm.turns import with_system
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


def with_tools(turns: Sequence[Turn], tools: Sequence[Tool], *, system: bool) -> list[Turn]:
    """The turns with the tools in the system message, and earlier calls and results as text.

    Results are words of the user, those that follow each other in one turn: such templates know no other role for
    them.
    """
    told: list[Turn] = []
    for turn in turns:
        if turn["role"] != "tool":
            told.append(_without_calls(turn))
            continue
        result = f"<tool_response>\n{turn['content']}\n</tool_response>"
        if told and told[-1].get("results"):
            told[-1]["content"] += f"\n{result}"
        else:
            told.append({"role": "user", "content": result, "results": True})
    for turn in told:
        turn.pop("results", None)
    if not tools:
        return told
    listed = "\n".join(orjson.dumps(tool.as_openai()).decode() for tool in tools)
    return with_system(told, _INSTRUCTIONS.format(tools=listed), system=system)


def _without_calls(turn: Turn) -> Turn:
    calls = [
        {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        for call in turn.get("tool_calls", ())
    ]
    if not calls:
        return dict(turn)
    blocks = [f"<tool_call>\n{orjson.dumps(call).decode()}\n</tool_call>" for call in calls]
    text = "\n".join([turn["content"], *blocks] if turn["content"] else blocks)
    return {key: value for key, value in turn.items() if key != "tool_calls"} | {"content": text}
