"""Turns what a caller asks for into the body of a request to another server; opens no connection."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from gateway.engines.llm.upstream.dialect import Dialect
from gateway.engines.llm.upstream.forced import call_schema
from gateway.engines.llm.upstream.messages import conversation_of, openai_messages
from gateway.engines.llm.upstream.sampling import refuse_unknown, sampling_fields
from gateway.errors import BadInput, ContextExceeded, LoraUnsupported
from gateway.tasks.generation import Generation
from gateway.tasks.output_format import OBJECT
from gateway.tasks.tools import Tool

CHAT, COMPLETIONS = "chat/completions", "completions"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a server: the name its model answers to, its kind, its context window in tokens, if it says so.

    `adapters` are the further names that it lists as fine-tunes of the model.
    """

    model: str
    dialect: Dialect
    window: int | None = None
    adapters: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `path` below the server's address and the JSON body; `n` answers, `stop` ends them.

    `flexible` says that the caller named no `max_tokens`, so that a smaller one is as good, and `forced` that the
    text of the answer will be a tool call as JSON. `traceparent` goes along as a header, if there is one.
    """

    path: str
    body: dict[str, Any]
    n: int
    stop: tuple[str, ...]
    flexible: bool
    forced: bool = False
    traceparent: str = ""

    def shortened(self, max_tokens: int) -> Request:
        """The same with another bound, which is final."""
        return replace(self, body={**self.body, "max_tokens": max_tokens}, flexible=False)


class Translator:
    """Speaks to one server. Prompts of different accounts share no cached work where the server can be told so."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._first_account: str | None = None
        self._is_shared = False

    def request(self, generation: Generation, account: str) -> Request:
        """The request that asks for this.

        Raises `BadInput` for what this server cannot be asked, `ContextExceeded` and `LoraUnsupported`.
        """
        self._refuse(generation)
        counts = {"continuous_usage_stats": True} if self._facts.dialect.counts_all_along else {}
        body: dict[str, Any] = {
            "model": self._facts.model,
            "stream": True,
            "stream_options": {"include_usage": True, **counts},
        }
        if generation.lora is not None:
            body["lora" if self._facts.dialect.takes_raw else "model"] = generation.lora
        body |= sampling_fields(generation, self._facts.dialect, window=self._facts.window) | self._cache(account)
        if generation.raw and not self._facts.dialect.takes_raw:
            path, body = COMPLETIONS, body | self._raw(generation)
        else:
            path, body = CHAT, body | self._chat(generation)
        forced = path == CHAT and self._forces(generation)
        return Request(path, body, generation.n, generation.stop, generation.max_tokens is None, forced)

    def _refuse(self, generation: Generation) -> None:
        window = self._facts.window
        if window is not None and generation.max_tokens is not None and generation.max_tokens >= window:
            raise ContextExceeded(wanted=generation.max_tokens + 1, limit=window)
        is_listed = self._facts.dialect.takes_raw or generation.lora in self._facts.adapters
        if generation.lora is not None and not is_listed:
            raise LoraUnsupported("'/lora' is not the name of a fine-tune of this model")
        shown = generation.images or any(message.pictures() for message in generation.messages)
        if generation.raw and shown and not self._facts.dialect.takes_raw:
            raise BadInput("'/raw' cannot be true: the server behind this model takes pictures in a chat only")
        refuse_unknown(generation, self._facts.dialect)

    def _cache(self, account: str) -> dict[str, Any]:
        """What keeps accounts apart. Where nothing is salted, work is reused only while there is but one account."""
        if self._first_account is None:
            self._first_account = account
        self._is_shared = self._is_shared or account != self._first_account
        match self._facts.dialect.cache:
            case "salt":
                return {"cache_salt": hashlib.sha256(b"gateway " + account.encode()).hexdigest()}
            case "switch":
                return {"cache_prompt": not self._is_shared}
        return {}

    def _raw(self, generation: Generation) -> dict[str, Any]:
        text = "\n".join(message.text() for message in generation.messages) if generation.messages else ""
        body: dict[str, Any] = {"prompt": text or generation.prompt}
        if generation.logprobs is not None:
            body["logprobs"] = generation.logprobs
        schema = generation.format.schema
        if schema is not None and self._facts.dialect.name == "llama.cpp":
            body["json_schema"] = schema
        return body | (_format(schema) if schema is not None and "json_schema" not in body else {})

    def _chat(self, generation: Generation) -> dict[str, Any]:
        body: dict[str, Any] = {**self._said(generation), **self._tools(generation)}
        if generation.format.schema is not None and "response_format" not in body:
            body |= _format(generation.format.schema)
        if generation.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": generation.logprobs}
        options = {**body.pop("chat_template_kwargs", {}), **generation.template_options}
        effort = generation.reasoning_effort
        if generation.think is not None and self._facts.dialect.takes_template_options:
            options["enable_thinking"] = generation.think
        elif generation.think is False:
            effort = "none"
        if effort is not None:
            (options if self._facts.dialect.effort_is_template_option else body)["reasoning_effort"] = effort
        return body | ({"chat_template_kwargs": options} if options else {})

    def _said(self, generation: Generation) -> dict[str, Any]:
        if generation.raw and not (generation.messages or generation.images):
            return {"prompt": generation.prompt, "raw": True}
        messages = openai_messages(conversation_of(generation), self._facts.dialect.reasoning_names)
        return {"messages": messages, **({"raw": True} if generation.raw else {})}

    def _forces(self, generation: Generation) -> bool:
        """Whether a call must be had by a schema, since the server does not hold to the choice."""
        return generation.tool_choice.mode == "required" and not self._facts.dialect.holds_to_tool_choice

    def _tools(self, generation: Generation) -> dict[str, Any]:
        choice = generation.tool_choice
        # A server that is told of tools it must not call may still see the model call one, as text.
        if not generation.tools or choice.mode == "none":
            return {}
        tools = [tool for tool in generation.tools if choice.name in (None, tool.name)]
        if self._forces(generation):
            # The template shows them to the model; as tools, they would exclude a schema.
            shown = {"tools": [tool.as_openai() for tool in tools]}
            return {"chat_template_kwargs": shown, **_format(call_schema(tools))}
        wanted: Any = choice.mode
        if choice.name is not None:
            wanted = {"type": "function", "function": {"name": choice.name}}
        return {
            "tools": [_offered(tool) for tool in generation.tools],
            "tool_choice": wanted,
            "parallel_tool_calls": generation.parallel_tool_calls,
        }


def _offered(tool: Tool) -> dict[str, Any]:
    offered = tool.as_openai()
    return offered | ({"function": {**offered["function"], "strict": True}} if tool.strict else {})


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    if schema == OBJECT:
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}
