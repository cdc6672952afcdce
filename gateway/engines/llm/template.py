"""Renders conversations with the chat template that came with the weights; takes no template from anyone else."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.errors import BadInput
from gateway.tasks.conversation import Message

RENDER_LIMIT_S = 5.0
MAX_PROMPT_CHARACTERS = 64 << 20
logger = logging.getLogger(__name__)


class Refused(TemplateError):
    """The template says that it cannot render this conversation."""


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; here its body is all that counts."""

    tags = {"generation"}  # noqa: RUF012 - the name and form are Jinja's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(reason: str) -> NoReturn:
    raise Refused(reason)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _environment() -> ImmutableSandboxedEnvironment:
    """The names and whitespace rules that templates are written for (Hugging Face, "Writing a chat template")."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


class ChatTemplate:
    """One model's template, compiled once. `tokens` are the special tokens it names, such as `bos_token`."""

    def __init__(self, source: str, **tokens: str) -> None:
        self._template = _environment().from_string(source)
        self._tokens = tokens

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt that asks the model for the next assistant turn; raises `BadInput` naming `/messages`."""
        turns = [{"role": message.role, "content": message.text()} for message in messages]
        try:
            return _join(self._template.generate(messages=turns, add_generation_prompt=True, **self._tokens))
        except Refused as refusal:
            raise BadInput(f"the model's chat template refuses '/messages': {refusal.message}") from None
        except BadInput:
            raise
        except Exception as error:
            logger.info("chat template failed", exc_info=error)
            raise BadInput("the model's chat template cannot render '/messages'") from None


def _join(chunks: Iterable[str]) -> str:
    """The chunks as one text; raises `BadInput` when they grow too long or take too long."""
    ends_at = time.monotonic() + RENDER_LIMIT_S
    parts: list[str] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_PROMPT_CHARACTERS or time.monotonic() > ends_at:
            raise BadInput("'/messages' takes the model's chat template too long to render")
    return "".join(parts)
