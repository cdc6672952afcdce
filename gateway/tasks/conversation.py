"""Messages of a conversation as clients of any family write them; knows no template and no engine."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.tasks.content import Content, as_parts
from gateway.tasks.custom_tool import ARGUMENT
from gateway.tasks.validation import Text, schema_error

MAX_MESSAGES = 10_000
# Where the pictures of a request stand; `Task.addresses` says how to read it.
ADDRESSES = ("/messages/*/content/*/image_url", "/messages/*/content/*/image_url/url")


def new_call_id() -> str:
    """An id for a tool call, in the form that vLLM-backed models of the service give."""
    return f"chatcmpl-tool-{uuid.uuid4().hex}"


class ToolCall(BaseModel):
    """A call that the assistant made earlier: flat, or in OpenAI's form with its arguments as text.

    That of a custom tool is one of the function that models know it as.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Text = ""
    name: Annotated[Text, Field(min_length=1, max_length=256)]
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("type") == "custom" and isinstance(value.get("custom"), dict):
            return {"id": value.get("id") or "", **_of_text(value["custom"])}
        function = value.get("function")
        call = {**value, **function} if isinstance(function, dict) else dict(value)
        call = {key: item for key, item in call.items() if item is not None}
        if isinstance(call.get("arguments"), str):
            call["arguments"] = _object(call["arguments"])
        return call


def _of_text(call: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(call.get("input"), str):
        raise schema_error("'/custom/input' of a tool call must be string")
    return {**({"name": call["name"]} if "name" in call else {}), "arguments": {ARGUMENT: call["input"]}}


def _object(text: str) -> Any:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise schema_error("Assistant tool call function.arguments must be a JSON object.")
    return found


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: Annotated[Content, BeforeValidator(as_parts)] = ""
    name: Text | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: Text | None = None
    reasoning_content: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, value: Any) -> Any:
        """`reasoning` is another name of `reasoning_content`, and `function_call` an older form of `tool_calls`.

        A `refusal` is what an assistant said that has no content.
        """
        if not isinstance(value, dict):
            return value
        message = dict(value)
        if not message.get("content") and isinstance(message.get("refusal"), str):
            message["content"] = message["refusal"]
        if message.get("reasoning_content") is None and isinstance(message.get("reasoning"), str):
            message["reasoning_content"] = message["reasoning"]
        if isinstance(message.get("function_call"), dict) and not message.get("tool_calls"):
            message["tool_calls"] = [message["function_call"]]
        return message

    def text(self) -> str:
        """The text of the message, its parts joined by newlines."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.text is not None and not part.is_thought)

    def pictures(self) -> list[str]:
        """The addresses of the pictures in the message, in their order."""
        if isinstance(self.content, str):
            return []
        return [part.image_url.url for part in self.content if part.image_url is not None]


def need_prompt_or_messages(prompt: str | None, messages: list[Message] | None) -> None:
    """Raise the schema error of a request that has neither, in the words of Cloudflare's validator."""
    if prompt is None and messages is None:
        raise schema_error(
            "oneOf at '/' not met, 0 matches: "
            "required properties at '/' are 'prompt', required properties at '/' are 'messages'"
        )


Messages = Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
