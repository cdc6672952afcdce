"""Finds out what a chat template can show a model, by rendering small conversations; knows no request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.engines.llm.reasoning import SWITCHES
from gateway.engines.llm.template import ChatTemplate, Turn

# A word that no template has of its own.
_WORD = "gatewayprobe"
_USER: Turn = {"role": "user", "content": "Hello"}
_PARAMETERS = {"type": "object", "properties": {_WORD: {"type": "integer"}}, "required": [_WORD]}
_TOOL = {"type": "function", "function": {"name": _WORD, "description": "A tool.", "parameters": _PARAMETERS}}


@dataclass(frozen=True, slots=True)
class Traits:
    """`tools`: it shows the model the tools; `system`: it takes a system message; `developer`: it knows that role.

    `parts`: it reads content in parts. `text_arguments`: it wants the arguments of earlier calls as JSON text, not
    as an object. `switches` are the variables by which thinking is turned on and off.
    """

    tools: bool
    system: bool
    developer: bool
    parts: bool
    text_arguments: bool
    switches: tuple[str, ...]


def find_traits(template: ChatTemplate) -> Traits:
    """What a template can do."""
    objects, texts = (_shows_arguments(template, arguments) for arguments in ({_WORD: 1}, f'{{"{_WORD}": 1}}'))
    listed = template.attempt([{"role": "user", "content": [{"type": "text", "text": _WORD}]}])
    return Traits(
        tools=_WORD in template.attempt([_USER], [_TOOL]),
        system=_WORD in template.attempt([{"role": "system", "content": _WORD}, _USER]),
        developer="developer" in template.source,
        parts=_WORD in listed and f"'{_WORD}'" not in listed and f'"{_WORD}"' not in listed,
        text_arguments=texts and not objects,
        switches=tuple(name for name in SWITCHES if name in template.variables),
    )


def _shows_arguments(template: ChatTemplate, arguments: Any) -> bool:
    """Whether an earlier call with these arguments is shown, and not in Python's way of writing objects."""
    call = {"id": "gateway00", "type": "function", "function": {"name": "tool", "arguments": arguments}}
    turns: list[Turn] = [
        _USER,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "name": "tool", "tool_call_id": "gateway00"},
    ]
    shown = template.attempt(turns, [_TOOL])
    without_tools = template.attempt([_USER], [_TOOL])
    return shown.count(_WORD) > without_tools.count(_WORD) and f"'{_WORD}'" not in shown
