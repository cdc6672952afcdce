"""Grammars of what a model may write, in the EBNF that xgrammar reads; knows no model and runs nothing."""

from gateway.engines.llm.grammar.constraints import grammar_of
from gateway.engines.llm.grammar.rules import Unsupported

__all__ = ["Unsupported", "grammar_of"]
