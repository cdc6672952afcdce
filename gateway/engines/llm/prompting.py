"""Turns a request into a prompt, what constrains its answer, and who reads it; knows no library that runs models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway.engines.llm.backend import Tokenizer
from gateway.engines.llm.constraint import Constraint, Json
from gateway.engines.llm.context import check_length
from gateway.engines.llm.decoding import Prompt
from gateway.engines.llm.dialect import Ask
from gateway.engines.llm.dialects import choose_dialect
from gateway.engines.llm.options import Options
from gateway.engines.llm.output import PlainReader, Reader
from gateway.engines.llm.pictures import Picture, encode, gathered
from gateway.engines.llm.template import ChatTemplate
from gateway.engines.llm.template_traits import Traits, find_traits, loses_role
from gateway.engines.llm.template_values import template_values, thinks
from gateway.engines.llm.tool_prompt import with_tools
from gateway.engines.llm.turn_shape import Shape, find_shape
from gateway.engines.llm.turns import ROLES, IdForm, turns_of, with_system
from gateway.errors import BadInput
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is answered: every choice has the same prompt and constraint, and a reader of its own.

    `markers` are special tokens by their ids, with the text that the reader, and a constraint, know them by.
    """

    prompt: Prompt
    constraint: Constraint | None
    reader: Callable[[], Reader]
    markers: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    """A template, what it can do, and what it has to be told otherwise."""

    template: ChatTemplate
    traits: Traits
    shape: Shape


class Prompter:
    """Plans requests for one model, by the chat template that came with it."""

    def __init__(self, tokenizer: Tokenizer, options: Options | None = None, window: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._window = window
        self._options = options or Options()
        self._plain = _known(tokenizer, tokenizer.template)
        self._calling = _known(tokenizer, tokenizer.tool_template) or self._plain
        shows_tools = self._calling is not None and self._calling.traits.tools
        chosen = choose_dialect(tokenizer, self._options, shows_tools=shows_tools)
        self._dialect, self._ids = chosen.dialect, _id_form(chosen.tools)
        self._markers = _special_tokens(tokenizer, chosen.dialect.markers)
        logger.info("tool calls: %s; reasoning: %s", chosen.tools, chosen.reasoning)

    def plan(self, generation: Generation) -> Plan:
        """The plan for one request; raises `BadInput` if the model cannot be asked that.

        Raises `ContextExceeded` for a text that is longer than the window by far.
        """
        schema = generation.format.schema
        generation, pictures = gathered(generation, self._tokenizer)
        if generation.raw or self._plain is None or self._calling is None:
            constraint = None if schema is None else Json(schema)
            return Plan(self._encode(_raw_text(generation), pictures, plain=True), constraint, PlainReader)
        text = self._render(generation, self._plain, self._calling)
        ask = Ask.of(generation, text, think=thinks(generation))
        form = self._dialect.form(ask, self._markers.values())
        return Plan(self._encode(text + form.begun, pictures, plain=False), form.constraint, form.reader, self._markers)

    def _render(self, generation: Generation, plain: _Known, calling: _Known) -> str:
        """The conversation as the model's own template writes it, with the tools that may be called."""
        messages = generation.messages or (Message(role="user", content=generation.prompt),)
        tools = () if generation.tool_choice.mode == "none" else generation.tools
        calls = bool(tools) or any(message.tool_calls or message.role == "tool" for message in messages)
        known = calling if calls else plain
        _check_roles(messages, known)
        told = calls and not known.traits.tools
        # What is told in words has its arguments as objects, whatever the template would want of calls.
        traits = replace(known.traits, text_arguments=False) if told else known.traits
        turns = turns_of(messages, traits, ids=self._ids)
        if self._options.schema_in_prompt and generation.format.named:
            turns = with_system(turns, _schema_words(generation.format.schema), traits)
        if told:
            turns = with_tools(turns, tools, traits)
            tools = ()
        offered = [tool.as_openai() for tool in tools]
        return known.template.render(known.shape.shaped(turns, traits), offered, template_values(generation, traits))

    def _encode(self, text: str, pictures: Sequence[Picture], *, plain: bool) -> Prompt:
        """The tokens of a prompt; a plain one gets the model's own opening token unless it has it."""
        if self._window is not None:
            check_length(self._tokenizer, text, self._window)
        bos = self._tokenizer.bos_token
        opened = bool(bos) and text.startswith(bos)
        prompt = encode(self._tokenizer, text, pictures, add_special_tokens=plain and not opened)
        if not prompt.tokens:
            raise BadInput("'/prompt' has no tokens")
        return prompt


def _id_form(tools: str) -> IdForm:
    """What a family's templates want ids of calls to be. Kimi's tell the model a function's name in no other way."""
    return "short" if tools.startswith("mistral") else "named" if tools == "kimi" else "given"


def _check_roles(messages: Sequence[Message], known: _Known) -> None:
    """Raise `BadInput` for a message that the model would never be shown, because the template passes over its role."""
    for index, message in enumerate(messages):
        if message.role not in ROLES and loses_role(known.template, known.traits, message.role):
            usual = ", ".join(f"'{role}'" for role in ROLES)
            raise BadInput(f"'/messages/{index}/role' is none that this model is shown; they are {usual}")


def _known(tokenizer: Tokenizer, source: str | None) -> _Known | None:
    if not source:
        return None
    template = ChatTemplate(source, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)
    traits = find_traits(template)
    return _Known(template, traits, find_shape(template, traits))


def _special_tokens(tokenizer: Tokenizer, markers: tuple[str, ...]) -> dict[int, str]:
    """Those markers that are single tokens which decoding leaves out, by their ids."""
    found: dict[int, str] = {}
    for marker in markers:
        ids = tokenizer.encode(marker, add_special_tokens=False)
        if len(ids) == 1 and tokenizer.decode([ids], special=True) == [marker] and tokenizer.decode([ids]) != [marker]:
            found[ids[0]] = marker
    return found


def _raw_text(generation: Generation) -> str:
    """The words as they are; raises `BadInput` for what needs a template."""
    if generation.messages and not generation.raw:
        raise BadInput("this model has no chat template for '/messages': send '/prompt', or '/raw' true")
    if generation.tool_choice.mode == "required":
        reason = "'/raw' is true" if generation.raw else "this model has no chat template"
        raise BadInput(f"'/tool_choice' cannot be kept: {reason}")
    return "\n".join(message.text() for message in generation.messages) if generation.messages else generation.prompt


def _schema_words(schema: dict[str, Any] | None) -> str:
    return f"Answer with JSON that this JSON Schema describes:\n{orjson.dumps(schema).decode()}"
