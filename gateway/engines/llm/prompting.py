"""Turns a request into a prompt, what constrains its answer, and who reads it; knows no library that runs models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.engines.llm.backend import Tokenizer
from gateway.engines.llm.constraint import Constraint, Json
from gateway.engines.llm.decoding import Prompt
from gateway.engines.llm.output import PlainReader, Reader
from gateway.engines.llm.template import ChatTemplate
from gateway.errors import BadInput
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is answered: every choice has the same prompt and constraint, and a reader of its own."""

    prompt: Prompt
    constraint: Constraint | None
    reader: Callable[[], Reader]


class Prompter:
    """Plans requests for one model, by the chat template that came with it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._template: ChatTemplate | None = None
        if tokenizer.template:
            self._template = ChatTemplate(
                tokenizer.template, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token
            )

    def plan(self, generation: Generation) -> Plan:
        """The plan for one request; raises `BadInput` if the model cannot be asked that."""
        prompt = Prompt(self._tokens(generation))
        if not prompt.tokens:
            raise BadInput("'/prompt' has no tokens")
        schema = generation.format.schema
        return Plan(prompt, None if schema is None else Json(schema), PlainReader)

    def _tokens(self, generation: Generation) -> list[int]:
        messages = generation.messages or (Message(role="user", content=generation.prompt),)
        if not generation.raw and self._template is not None:
            return self._tokenizer.encode(self._template.render(messages), add_special_tokens=False)
        if not generation.raw and generation.messages:
            raise BadInput("this model has no chat template for '/messages': send '/prompt', or '/raw' true")
        text = "\n".join(message.text() for message in messages)
        bos = self._tokenizer.bos_token
        opened = bool(bos) and text.startswith(bos)
        return self._tokenizer.encode(text, add_special_tokens=not opened)
