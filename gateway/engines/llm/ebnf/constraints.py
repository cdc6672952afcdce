"""Constraints to grammars: the algebra of constraint.py, with schemas inside; knows no model."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until
from gateway.engines.llm.ebnf.choices import one_of, spelt
from gateway.engines.llm.ebnf.rules import EMPTY, Rules, Unsupported, literal
from gateway.engines.llm.ebnf.schema import SchemaGrammar


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar in xgrammar's notation, and how many of its states make it costly to compile."""

    text: str
    wide_states: int = 0


def grammar_of(constraint: Constraint) -> Grammar:
    """The grammar of the texts that fit; raises `Unsupported` for a schema that cannot be promised."""
    rules = Rules()
    text = rules.text(_expression(constraint, rules))
    return Grammar(text, rules.wide_states)


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
            except RecursionError:
                deep = Unsupported("", "the schema is too intricate")
                deep.field = field
                raise deep from None
        case Until(end):
            return rules.rule(f"TagDispatch(stop_eos=false, stop_str=({literal(end)}))")
        case Sequence(parts):
            return rules.rule(" ".join(_expression(part, rules) for part in parts) or EMPTY)
        case Choice(options) if all(isinstance(option, Literal) for option in options):
            return one_of(rules, (spelt(option.text) for option in options if isinstance(option, Literal)))
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
