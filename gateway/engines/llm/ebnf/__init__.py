"""Grammars of what a model may write, in the EBNF that xgrammar reads; knows no model and runs nothing."""

from gateway.engines.llm.ebnf.constraints import Grammar, grammar_of
from gateway.engines.llm.ebnf.rules import Unsupported

__all__ = ["Grammar", "Unsupported", "grammar_of"]
