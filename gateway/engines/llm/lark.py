"""Writes a constraint as a grammar in llguidance's dialect of Lark; compiles nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import assert_never

from gateway.engines.llm.closing import closed
from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until

# At most one space between the parts: white space that a model may repeat fills the answer with nothing. What a schema
# says under this name itself is a caller's, who must not loosen how it is read.
OPTIONS = {"x-guidance": {"whitespace_pattern": r"[ ]?", "lenient": False, "coerce_one_of": False}}


def grammar_of(constraint: Constraint) -> str:
    """The whole grammar."""
    endings = list(dict.fromkeys(_endings(constraint)))
    rules = [f"until_{number}[lazy]: ANY {_quoted(end)}" for number, end in enumerate(endings)]
    return "\n".join([f"start: {_expression(constraint, endings)}", *rules, "ANY: /(?s:.*)/", ""])


def schema_text(schema: Json) -> str:
    """JSON of the schema, its objects closed, to be read as strictly as a stranger's has to be."""
    return json.dumps({**closed(schema.schema), **OPTIONS})


def schemas(constraint: Constraint) -> Iterator[Json]:
    """Every schema in it."""
    if isinstance(constraint, Json):
        yield constraint
    for part in _parts(constraint):
        yield from schemas(part)


def _parts(constraint: Constraint) -> tuple[Constraint, ...]:
    match constraint:
        case Sequence(parts):
            return parts
        case Choice(options):
            return options
        case Repeated(item):
            return (item,)
        case Triggered(_, items):
            return items
        case _:
            return ()


def _endings(constraint: Constraint) -> Iterator[str]:
    if isinstance(constraint, Until):
        yield constraint.end
    if isinstance(constraint, Triggered):
        yield constraint.trigger
    for part in _parts(constraint):
        yield from _endings(part)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _expression(constraint: Constraint, endings: list[str]) -> str:
    def write(part: Constraint) -> str:
        return _expression(part, endings)

    match constraint:
        case Literal(text):
            return _quoted(text)
        case Json():
            return f"%json {schema_text(constraint)}"
        case Until(end):
            return f"until_{endings.index(end)}"
        case Sequence(parts):
            return f"({' '.join(map(write, parts))})"
        case Choice(options):
            return f"({' | '.join(map(write, options))})"
        case Repeated(item, separator, most):
            return _repeated(write(item), separator, most)
        case Triggered(trigger, items):
            begun = f"until_{endings.index(trigger)}"
            return f"(({begun} ({' | '.join(write(_after(trigger, item)) for item in items)}))* ANY)"
        case _:
            assert_never(constraint)


def _repeated(item: str, separator: str, most: int | None) -> str:
    if most == 1:
        return f"({item})"
    return f"({item} ({_quoted(separator)} {item}){'*' if most is None else f'{{0,{most - 1}}}'})"


def _after(start: str, constraint: Constraint) -> Constraint:
    """What is left of a constraint once `start`, with which its texts begin, is written."""
    match constraint:
        case Literal(text) if text.startswith(start):
            return Literal(text.removeprefix(start))
        case Sequence((Literal(text), *rest)) if rest and start.startswith(text):
            return _after(start.removeprefix(text), Sequence(tuple(rest)))
        case Sequence((first, *rest)):
            return Sequence((_after(start, first), *rest))
        case Choice(options):
            return Choice(tuple(_after(start, option) for option in options))
        case _ if not start:
            return constraint
        case _:
            raise ValueError(f"a text that {start!r} triggers has to begin with it")
