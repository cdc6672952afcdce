"""The items of a Responses request, as messages of a conversation; knows no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from gateway.tasks.content import Content, ContentPart
from gateway.tasks.conversation import MAX_MESSAGES, Message
from gateway.tasks.tool_call import ToolCall
from gateway.tasks.validation import Text, schema_error, sentence_error

_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_KINDS = ("message", "function_call", "custom_tool_call", *_OUTPUTS, "reasoning")
# Where the pictures of a request stand; `Task.addresses` says how to read it.
ADDRESSES = tuple(f"/input/*/{field}/*/image_url{end}" for field in ("content", "output") for end in ("", "/url"))
_PARTS = ("text", "input_text", "output_text", "refusal", "input_image", "image_url")


class Item(BaseModel):
    """One item; keys that only the service's own storage needs are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _plain(content: str | list[ContentPart]) -> str | list[dict[str, Any]]:
    """Parts under the names that chat templates know."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for part in content:
        if part.image_url is not None:
            parts.append({"type": "image_url", "image_url": {"url": part.image_url.url}})
        else:
            parts.append({"type": "text", "text": part.text or ""})
    return parts


def _check_parts(value: Any) -> Any:
    parts = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    for part in parts:
        if isinstance(part, dict) and part.get("type", "text") not in _PARTS:
            raise schema_error("'/type' of a part must be 'input_text', 'output_text' or 'input_image'")
    return "" if value is None else parts or value


ItemContent = Annotated[Content, BeforeValidator(_check_parts)]


class MessageItem(Item):
    """What somebody said."""

    type: Literal["message"] = "message"
    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: ItemContent


class CallItem(ToolCall):
    """A call that the model made; `call_id` is what its output refers to."""

    type: Literal["function_call"]
    call_id: Annotated[Text, Field(min_length=1)]


class CustomCallItem(Item):
    """A call of a custom tool that the model made."""

    type: Literal["custom_tool_call"]
    call_id: Annotated[Text, Field(min_length=1)]
    name: Annotated[Text, Field(min_length=1, max_length=256)]
    input: Text


class CallOutputItem(Item):
    """What a call gave, of either kind."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: Annotated[Text, Field(min_length=1)]
    output: ItemContent


class Thought(Item):
    """A part of a reasoning item."""

    text: Text = ""


class ReasoningItem(Item):
    """What the model thought before an item that follows."""

    type: Literal["reasoning"]
    content: list[Thought] | None = None
    summary: list[Thought] | None = None

    def text(self) -> str:
        """The thoughts, or if there are none their summary."""
        return "\n".join(thought.text for thought in self.content or self.summary or ())


def _kind(item: Any) -> str:
    kind = item.get("type") or "message" if isinstance(item, dict) else getattr(item, "type", "message")
    return "<call_output>" if kind in _OUTPUTS else f"<{kind}>"


def _check_item(item: Any) -> Any:
    if isinstance(item, dict) and item.get("type") == "item_reference":
        raise schema_error("responses are not stored, so send the item itself (clients do with 'store' false)")
    if isinstance(item, dict) and (item.get("type") or "message") not in _KINDS:
        raise schema_error("'/type' of an item must be one of " + ", ".join(f"'{kind}'" for kind in _KINDS))
    return item


AnyItem = Annotated[
    Annotated[
        Annotated[MessageItem, Tag("<message>")]
        | Annotated[CallItem, Tag("<function_call>")]
        | Annotated[CustomCallItem, Tag("<custom_tool_call>")]
        | Annotated[CallOutputItem, Tag("<call_output>")]
        | Annotated[ReasoningItem, Tag("<reasoning>")],
        Discriminator(_kind),
    ],
    BeforeValidator(_check_item),
]


def _as_items(value: Any) -> Any:
    if value == "":
        raise sentence_error("Length of '/input' must be >= 1")
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


_MANY = {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MAX_MESSAGES}
Items = Annotated[
    list[AnyItem],
    BeforeValidator(_as_items),
    Field(min_length=1, max_length=MAX_MESSAGES),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, _MANY]}),
]


class Conversation:
    """Messages made of items: what the model did in one turn, in several items, becomes one message."""

    def __init__(self, instructions: str | None) -> None:
        self._turns: list[dict[str, Any]] = []
        self._thought = ""
        if instructions:
            self._turns.append({"role": "system", "content": instructions})

    def messages(self, items: Sequence[Any]) -> tuple[Message, ...]:
        """All of the conversation, `items` at its end."""
        for item in items:
            self._add(item)
        return tuple(Message.model_validate(turn) for turn in self._turns)

    def _add(self, item: Any) -> None:
        match item:
            case ReasoningItem():
                self._thought = "\n".join(text for text in (self._thought, item.text()) if text)
            case CallItem():
                call = {"id": item.call_id, "name": item.name, "arguments": item.arguments}
                self._assistant().setdefault("tool_calls", []).append(call)
            case CustomCallItem():
                custom = {"name": item.name, "input": item.input}
                call = {"id": item.call_id, "type": "custom", "custom": custom}
                self._assistant().setdefault("tool_calls", []).append(call)
            case CallOutputItem():
                self._turns.append({"role": "tool", "tool_call_id": item.call_id, "content": _plain(item.output)})
            case MessageItem(role="assistant"):
                self._turns.append({"role": "assistant", "content": _plain(item.content)} | self._thoughts())
            case MessageItem():
                self._turns.append({"role": item.role, "content": _plain(item.content)})

    def _assistant(self) -> dict[str, Any]:
        """The assistant's last turn, if nothing came after it, or a new one."""
        if self._turns and self._turns[-1]["role"] == "assistant" and not self._thought:
            return self._turns[-1]
        self._turns.append({"role": "assistant", "content": ""} | self._thoughts())
        return self._turns[-1]

    def _thoughts(self) -> dict[str, str]:
        thought, self._thought = self._thought, ""
        return {"reasoning_content": thought} if thought else {}
