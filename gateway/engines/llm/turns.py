"""Brings the messages of a conversation into the form that chat templates are written for; renders nothing."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from gateway.engines.llm.pictures import content
from gateway.engines.llm.template import Turn
from gateway.engines.llm.template_traits import Traits
from gateway.tasks.conversation import Message
from gateway.tasks.tool_call import ToolCall

IdForm = Literal["given", "short", "named"]
# Those of OpenAI's API, all of which templates are given in a form that they show.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Mistral's templates refuse ids of any other form.
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


def turns_of(messages: Sequence[Message], traits: Traits, *, ids: IdForm = "given") -> list[Turn]:
    """One turn for each message.

    The role of developers is that of the system where the template knows no other, and pictures have a place
    among the parts of their message. Calls without an id, and results without one, are matched in their order. `ids`
    is the form of all ids: as given, `short` of nine letters and digits, or `named` after the function and numbered.
    """
    known = _Ids(ids)
    return [_turn(message, traits, known) for message in messages]


def _turn(message: Message, traits: Traits, ids: _Ids) -> Turn:
    role = {"function": "tool", "developer": "developer" if traits.developer else "system"}.get(
        message.role, message.role
    )
    turn: Turn = {"role": role, "content": content(message, in_parts=traits.in_parts)}
    if message.name is not None:
        turn["name"] = message.name
    if message.tool_calls:
        turn["tool_calls"] = [_call(call, traits, ids) for call in message.tool_calls]
    if role == "tool":
        turn["tool_call_id"], name = ids.answered(message.tool_call_id)
        if name:
            turn.setdefault("name", name)
    if message.reasoning_content:
        turn["reasoning_content"] = message.reasoning_content
        # The name of the same in the templates of gpt-oss, which refuse it beside content.
        if not (message.tool_calls and turn["content"]):
            turn["thinking"] = message.reasoning_content
    return turn


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _call(call: ToolCall, traits: Traits, ids: _Ids) -> dict[str, Any]:
    arguments = orjson.dumps(call.arguments).decode() if traits.text_arguments else call.arguments
    function = {"name": call.name, "arguments": arguments}
    return {"id": ids.called(call.id, call.name), "type": "function", "function": function}


@dataclass(slots=True)
class _Ids:
    """The calls of a conversation and which of them have had their results."""

    form: IdForm
    names: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    count: int = 0
    waiting: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def called(self, id: str, name: str) -> str:
        """The id to show for a call."""
        id = id or f"call{self.count:05d}"
        self.names[id] = name
        self.shown[id] = f"functions.{name}:{self.count}" if self.form == "named" else self._formed(id)
        self.count += 1
        self.waiting[id] = None
        return self.shown[id]

    def answered(self, id: str | None) -> tuple[str, str]:
        """The id to show for a result, and the name of the tool that it is of."""
        id = id or next(iter(self.waiting), "")
        self.waiting.pop(id, None)
        return self.shown.get(id) or self._formed(id), self.names.get(id, "")

    def _formed(self, id: str) -> str:
        if self.form != "short" or _SHORT_ID.fullmatch(id):
            return id
        return hashlib.sha256(id.encode()).hexdigest()[:9]


def with_system(turns: Iterable[Turn], text: str, traits: Traits) -> list[Turn]:
    """The turns with `text` at the end of the system message; without a role for it, before the first user's words."""
    told = [dict(turn) for turn in turns]
    if told and told[0]["role"] in ("system", "developer"):
        told[0]["content"] = joined(told[0]["content"], text)
    elif traits.system:
        told.insert(0, {"role": "system", "content": [_part(text)] if traits.in_parts else text})
    else:
        first = next((turn for turn in told if turn["role"] == "user"), None)
        if first is None:
            told.insert(0, {"role": "user", "content": [_part(text)] if traits.in_parts else text})
        else:
            first["content"] = joined(text, first["content"])
    return told


def text_of(content: Any) -> str:
    """The words of a turn's content."""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def joined(*contents: Any) -> Any:
    """Contents as one: text with an empty line between, or parts."""
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(filter(None, contents))
    return [part for content in contents for part in ([_part(content)] if isinstance(content, str) else content)]
