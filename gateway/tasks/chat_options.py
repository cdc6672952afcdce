"""The fields of a chat completion request that are more than a bounded number; knows no answer and no engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.tasks.generation import GenerationInput
from gateway.tasks.tools import Tool
from gateway.tasks.validation import Boolean, Number, Text, schema_error

MAX_BIASES = 1024
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 1024
MAX_TEMPLATE_OPTIONS = 32
MAX_OPTION_CHARACTERS = 1024
MAX_OPTION_NUMBER = 1_000_000
# What renders a conversation into a prompt; a caller may add to these names, and set none of them.
RESERVED = frozenset(
    {
        *("messages", "tools", "tool_choice", "documents", "add_generation_prompt", "continue_final_message"),
        *("chat_template", "tokenize", "return_dict", "return_tensors", "raise_exception", "strftime_now"),
        *("bos_token", "eos_token", "pad_token", "unk_token"),
    }
)
_TOKEN_ID = re.compile(r"[0-9]{1,9}")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_STOP = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS}
Stop = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]],
    BeforeValidator(_as_list),
    Field(max_length=MAX_STOPS),
    WithJsonSchema({"anyOf": [_STOP, {"type": "array", "items": _STOP, "maxItems": MAX_STOPS}]}),
]


def _check_token_ids(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) > MAX_BIASES:
            raise schema_error(f"must not have more than {MAX_BIASES} tokens")
        if not all(isinstance(key, str) and _TOKEN_ID.fullmatch(key) for key in value):
            raise schema_error("the keys must be token ids")
    return value


LogitBias = Annotated[
    dict[str, Annotated[Number, Field(ge=-100, le=100)]],
    BeforeValidator(_check_token_ids),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}}),
]


def _check_template_options(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) > MAX_TEMPLATE_OPTIONS:
        raise schema_error(f"must not have more than {MAX_TEMPLATE_OPTIONS} values")
    for key, item in value.items():
        if not isinstance(key, str) or not _OPTION.fullmatch(key):
            raise schema_error("the keys must be names of up to 64 letters, digits and underscores")
        if key in RESERVED:
            raise schema_error(f"'{key}' cannot be set by a request")
        if not isinstance(item, str | int | float | None):
            raise schema_error(f"'{key}' must be a text, a number, a boolean or null")
        if isinstance(item, str) and len(item) > MAX_OPTION_CHARACTERS:
            raise schema_error(f"'{key}' must not be longer than {MAX_OPTION_CHARACTERS} characters")
        if isinstance(item, int | float) and not abs(item) <= MAX_OPTION_NUMBER:
            raise schema_error(f"'{key}' must be from -{MAX_OPTION_NUMBER} to {MAX_OPTION_NUMBER}")
    if not isinstance(value.get("enable_thinking"), bool | None):
        raise schema_error("'enable_thinking' must be a boolean")
    return value


TemplateOptions = Annotated[
    dict[str, Any],
    BeforeValidator(_check_template_options),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "enable_thinking": {"type": "boolean", "default": True},
                "clear_thinking": {"type": "boolean", "default": False},
            },
            "additionalProperties": {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]},
        }
    ),
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Thinking(TypedDict):
    """How a caller wants the model to reason, under the names of `Generation`."""

    think: bool | None
    reasoning_effort: str | None
    template_options: dict[str, Any]


def thinking(effort: str | None, options: Mapping[str, Any] | None = None) -> Thinking:
    """What `reasoning_effort` and the template's options mean together.

    The option that turns thinking on or off counts. Some clients write the effort among the options.
    """
    rest = dict(options or {})
    written = rest.pop("reasoning_effort", None)
    effort = effort or written
    named: bool | None = rest.pop("enable_thinking", None)
    return {
        "think": named if named is not None else False if effort == "none" else None,
        "reasoning_effort": None if effort in (None, "none") else str(effort),
        "template_options": rest,
    }


class StreamOptions(BaseModel):
    """`include_usage` asks for a last chunk with the token counts; obfuscation is padding of random length."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: Boolean | None = None
    include_obfuscation: Boolean | None = None


def _without_code(value: Any) -> Any:
    """Functions that carry their own code are for the caller to run, and no tools."""
    if not isinstance(value, list):
        return value
    return [item for item in value if not (isinstance(item, dict) and "code" in item)]


LegacyFunctions = Annotated[list[Tool], BeforeValidator(_without_code), Field(max_length=128)]


def _check_function_call(value: str | dict[str, Any]) -> str | dict[str, Any]:
    if value in ("none", "auto"):
        return value
    if isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"]:
        return {"name": value["name"]}
    raise schema_error("must be 'none', 'auto' or a function's name as {name}")


LegacyFunctionCall = Annotated[str | dict[str, Any], AfterValidator(_check_function_call)]


def as_tool_choice(value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """A legacy `function_call` in the form of `tool_choice`."""
    return {"type": "function", "function": {"name": value["name"]}} if isinstance(value, dict) else value


class Ignored(GenerationInput):
    """What the published schema has and a local model has no use for: it is checked, and has no effect."""

    user: Text | None = Field(default=None, exclude=True)
    metadata: dict[str, Any] | None = Field(default=None, exclude=True)
    store: Boolean = Field(default=False, exclude=True)
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = Field(default=None, exclude=True)
    prediction: dict[str, Any] | None = Field(default=None, exclude=True)
    web_search_options: dict[str, Any] | None = Field(default=None, exclude=True)
