"""Renders conversations with the chat template that came with the weights; takes no template from anyone else."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.errors import BadInput

RENDER_LIMIT_S = 5.0
MAX_PROMPT_CHARACTERS = 64 << 20
MAX_REPEATED, MAX_EXPONENT = 1_000_000, 64
logger = logging.getLogger(__name__)

Turn = dict[str, Any]


class Refused(TemplateError):
    """The template says that it cannot render this conversation."""


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; here its body is all that counts."""

    tags = {"generation"}  # noqa: RUF012 - the name and form are Jinja's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Also bounds repetitions and powers: between two chunks of output nothing else stops a template.

    Jinja itself bounds `range`; what still takes too long ends with the worker, at its run limit.
    """

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The product or power, if it is not a large one."""
        repeated = operator == "*" and (hasattr(left, "__len__") or hasattr(right, "__len__"))
        if repeated and len(left if hasattr(left, "__len__") else right) * _number(left, right) > MAX_REPEATED:
            raise SecurityError(f"repeated to more than {MAX_REPEATED}")
        if operator == "**" and abs(right) > MAX_EXPONENT:
            raise SecurityError(f"a power beyond {MAX_EXPONENT}")
        return super().call_binop(context, operator, left, right)


def _number(left: Any, right: Any) -> Any:
    return right if hasattr(left, "__len__") else left


def _refuse(reason: str) -> NoReturn:
    raise Refused(reason)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _environment() -> _Sandbox:
    """The names and whitespace rules that templates are written for (Hugging Face, "Writing a chat template")."""
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


class ChatTemplate:
    """One model's template, compiled once. `tokens` are the special tokens it names, such as `bos_token`.

    `variables` are the names of the values that it looks at.
    """

    def __init__(self, source: str, **tokens: str) -> None:
        environment = _environment()
        self.source = source
        self.variables = frozenset(meta.find_undeclared_variables(environment.parse(source)))
        self._template = environment.from_string(source)
        self._tokens = tokens

    def render(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Mapping[str, Any]] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt that asks the model for the next assistant turn; raises `BadInput` naming `/messages`.

        `tools` are in OpenAI's form; `values` are further ones that the template may look at.
        """
        try:
            return self._render(turns, tools, values or {})
        except Refused as refusal:
            raise BadInput(f"the model's chat template refuses '/messages': {refusal.message}") from None
        except BadInput:
            raise
        except Exception as error:
            logger.info("chat template failed", exc_info=error)
            raise BadInput("the model's chat template cannot render '/messages'") from None

    def attempt(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """The prompt, or nothing where `render` would raise."""
        try:
            return self._render(turns, tools, {})
        except Exception:
            return ""

    def _render(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] | None, values: Mapping[str, Any]
    ) -> str:
        fixed: dict[str, Any] = {"messages": list(turns), "add_generation_prompt": True, **self._tokens}
        # Absent, not None: templates ask whether tools are defined, and whether there are any.
        offered = {"tools": list(tools)} if tools else {}
        return _join(self._template.generate({**values, **offered, **fixed}))


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
