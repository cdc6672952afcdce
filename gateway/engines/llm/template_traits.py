"""Finds out what a chat template can show a model, by rendering small conversations; knows no request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.engines.llm.reasoning import SWITCHES
from gateway.engines.llm.template import ChatTemplate, Turn

# A word that no template has of its own.
_WORD = "gatewayprobe"
_PARAMETERS = {"type": "object", "properties": {_WORD: {"type": "integer"}}, "required": [_WORD]}
_TOOL = {"type": "function", "function": {"name": _WORD, "description": "A tool.", "parameters": _PARAMETERS}}


@dataclass(frozen=True, slots=True)
class Traits:
    """`tools`: it shows the model the tools; `system`: it takes a system message; `developer`: it knows that role.

    `in_parts`: it wants content in parts and loses what is plain text. `text_arguments`: it wants the arguments of
    earlier calls as JSON text, not as an object. `switches` are the variables by which thinking is turned on and off.
    """

    tools: bool
    system: bool
    developer: bool
    in_parts: bool
    text_arguments: bool
    switches: tuple[str, ...]


def find_traits(template: ChatTemplate) -> Traits:
    """What a template can do."""
    word = [{"type": "text", "text": _WORD}]
    in_parts = _WORD not in template.attempt([_turn("user", _WORD)]) and _WORD in template.attempt(
        [_turn("user", word)]
    )
    user = _turn("user", [{"type": "text", "text": "Hello"}] if in_parts else "Hello")
    system = _turn("system", word if in_parts else _WORD)
    objects, texts = (_shows_arguments(template, user, given) for given in ({_WORD: 1}, f'{{"{_WORD}": 1}}'))
    return Traits(
        tools=_WORD in template.attempt([user], [_TOOL]),
        system=_WORD in template.attempt([system, user]),
        developer="developer" in template.source and _WORD in template.attempt([{**system, "role": "developer"}, user]),
        in_parts=in_parts,
        text_arguments=texts and not objects,
        switches=tuple(name for name in SWITCHES if name in template.variables),
    )


def loses_role(template: ChatTemplate, traits: Traits, role: str) -> bool:
    """Whether it passes over what a role of any other name says, without a word, as many do."""
    texts = ("Hello", _WORD)
    user, other = ([{"type": "text", "text": text}] if traits.in_parts else text for text in texts)
    shown = template.attempt([_turn("user", user), _turn(role, other)])
    return bool(shown) and _WORD not in shown


def _turn(role: str, content: Any) -> Turn:
    return {"role": role, "content": content}


def _shows_arguments(template: ChatTemplate, user: Turn, arguments: Any) -> bool:
    """Whether an earlier call with these arguments is shown, and not in Python's way of writing objects."""
    call = {"id": "gateway00", "type": "function", "function": {"name": "tool", "arguments": arguments}}
    turns: list[Turn] = [
        user,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "name": "tool", "tool_call_id": "gateway00"},
    ]
    shown = template.attempt(turns, [_TOOL])
    return shown.count(_WORD) > template.attempt([user], [_TOOL]).count(_WORD) and f"'{_WORD}'" not in shown
