"""Chooses how one model writes its answers, by its chat template and its row's options; knows no request."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.config import ConfigError
from gateway.engines.llm.backend import Tokenizer
from gateway.engines.llm.declared import Declared
from gateway.engines.llm.dialect import Dialect, Harmony, Marked
from gateway.engines.llm.options import Options
from gateway.engines.llm.reasoning import REASONING_FORMATS, find_reasoning
from gateway.engines.llm.tool_formats import FORMATS, find_format

logger = logging.getLogger(__name__)
_HARMONY_SIGNS = ("<|channel|>", "<|message|>")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A dialect, the names of what it is made of, and whether the template's own way to show tools fits it."""

    dialect: Dialect
    tools: str
    reasoning: str


def choose_dialect(tokenizer: Tokenizer, options: Options, *, shows_tools: bool) -> Chosen:
    """The dialect of one model. A template that shows no tools leaves calls to the prompt, which asks for Hermes'.

    Raises `ConfigError` if an option asks for what the tokenizer has not got.
    """
    source = "\n".join(filter(None, (tokenizer.tool_template, tokenizer.template)))
    tools: str = options.tool_format
    if tools == "auto":
        tools = _tool_format(tokenizer, source, shows_tools)
    if tools == "declared" and tokenizer.response_template is None:
        raise ConfigError("options.tool_format: the tokenizer of these weights declares no response_template")
    if tools == "harmony":
        return Chosen(Harmony(), tools, tools)
    if tools == "declared" and tokenizer.response_template is not None:
        return Chosen(Declared(tokenizer.response_template), tools, tools)
    reasoning = options.reasoning_format
    name = find_reasoning(source) if reasoning == "auto" else reasoning
    return Chosen(Marked(REASONING_FORMATS.get(name or ""), FORMATS[tools]), tools, name or "none")


def _tool_format(tokenizer: Tokenizer, source: str, shows_tools: bool) -> str:
    if all(sign in source for sign in _HARMONY_SIGNS):
        return "harmony"
    found = find_format(source) if shows_tools else None
    if found is None and tokenizer.response_template is not None:
        return "declared"
    return found or "hermes"
