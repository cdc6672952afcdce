"""Constraints to grammars: the algebra of constraint.py, with schemas inside; knows no model."""

from __future__ import annotations

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Until
from gateway.engines.llm.ebnf.rules import EMPTY, Rules, literal
from gateway.engines.llm.ebnf.schema import SchemaGrammar


def grammar_of(constraint: Constraint) -> str:
    """The grammar of the texts that fit; raises `Unsupported` for a schema that cannot be promised."""
    rules = Rules()
    return rules.text(_expression(constraint, rules))


def _expression(constraint: Constraint, rules: Rules) -> str:
    match constraint:
        case Literal(text):
            return literal(text)
        case Json(schema):
            return SchemaGrammar(rules, schema).expression(schema)
        case Until(end):
            return rules.rule(f"TagDispatch(stop_eos=false, stop_str=({literal(end)}))")
        case Sequence(parts):
            return rules.rule(" ".join(_expression(part, rules) for part in parts) or EMPTY)
        case Choice(options):
            return rules.rule(" | ".join(_expression(option, rules) for option in options))
        case Repeated(item, separator, most):
            return rules.times(_expression(item, rules), 1, most, literal(separator))
