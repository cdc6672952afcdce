"""Constraints to grammars: the algebra of constraint.py, with schemas inside; knows no model."""

from __future__ import annotations

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until
from gateway.engines.llm.ebnf.rules import EMPTY, Rules, Unsupported, literal
from gateway.engines.llm.ebnf.schema import SchemaGrammar


def grammar_of(constraint: Constraint) -> str:
    """The grammar of the texts that fit; raises `Unsupported` for a schema that cannot be promised."""
    rules = Rules()
    return rules.text(_expression(constraint, rules))


def _expression(constraint: Constraint, rules: Rules) -> str:
    match constraint:
        case Literal(text):
            return literal(text)
        case Json(schema, field):
            try:
                return SchemaGrammar(rules, schema).expression(schema)
            except Unsupported as reason:
                reason.field = field
                raise
        case Until(end):
            return rules.rule(f"TagDispatch(stop_eos=false, stop_str=({literal(end)}))")
        case Sequence(parts):
            return rules.rule(" ".join(_expression(part, rules) for part in parts) or EMPTY)
        case Choice(options):
            return rules.rule(" | ".join(_expression(option, rules) for option in options))
        case Repeated(item, separator, most):
            return rules.times(_expression(item, rules), 1, most, literal(separator))
        case Triggered(trigger, items):
            rests = [_expression(_without(trigger, item), rules) for item in items]
            return rules.rule(f"TagDispatch(({literal(trigger)}, {rules.either(rests)}))")


def _without(beginning: str, item: Constraint) -> Constraint:
    """What follows `beginning` in an item that begins with it."""
    if isinstance(item, Sequence) and item.parts:
        return Sequence((_without(beginning, item.parts[0]), *item.parts[1:]))
    if isinstance(item, Literal) and item.text.startswith(beginning):
        return Literal(item.text.removeprefix(beginning))
    raise ValueError(f"a triggered item does not begin with {beginning!r}")
