"""Messages of a conversation as clients of any family write them; knows no template and no engine."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.tasks.content import Content, as_parts
from gateway.tasks.tool_call import ToolCall
from gateway.tasks.validation import Text, schema_error

MAX_MESSAGES = 10_000
# Where the pictures of a request stand; `Task.addresses` says how to read it.
ADDRESSES = ("/messages/*/content/*/image_url", "/messages/*/content/*/image_url/url")


def new_call_id() -> str:
    """An id for a tool call, in the form that vLLM-backed models of the service give."""
    return f"chatcmpl-tool-{uuid.uuid4().hex}"


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
