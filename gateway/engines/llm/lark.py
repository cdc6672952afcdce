"""Writes a constraint as a grammar in llguidance's dialect of Lark; compiles nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import assert_never

from gateway.engines.llm.closing import closed
from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until

# At most one space between the parts: white space that a model may repeat fills the answer with nothing. What a schema
# says under this name itself is a caller's, who must not loosen how it is read.
OPTIONS = {"x-guidance": {"whitespace_pattern": r"[ ]?", "lenient": False, "coerce_one_of": False}}


def grammar_of(constraint: Constraint, markers: Mapping[str, int] | None = None) -> str:
    """The whole grammar. `markers` are special tokens, which no text holds, by the text that they stand for."""
    writer = _Writer(constraint, markers or {})
    return "\n".join([f"start: {writer.expression(constraint)}", *writer.rules(), "ANY: /(?s:.*)/", ""])


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


class _Writer:
    """Writes the parts of one grammar."""

    def __init__(self, constraint: Constraint, markers: Mapping[str, int]) -> None:
        self._endings = list(dict.fromkeys(_endings(constraint)))
        self._markers = markers
        longest_first = sorted(markers, key=len, reverse=True)
        self._cuts = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if markers else None

    def rules(self) -> Iterator[str]:
        """A rule for each text that is waited for: as it is spelled and, if it begins with a marker, as that."""
        for number, end in enumerate(self._endings):
            yield f"spelled_{number}[lazy]: ANY {_quoted(end)}"
            marked = f" | ANY {self._literal(end)}" if self._begins_marked(end) else ""
            yield f"until_{number}: spelled_{number}{marked}"

    def expression(self, constraint: Constraint) -> str:
        """What the texts of a constraint are."""
        match constraint:
            case Literal(text):
                return self._literal(text)
            case Json():
                return f"%json {schema_text(constraint)}"
            case Until(end):
                return self._until(end)
            case Sequence(parts):
                return f"({' '.join(map(self.expression, parts))})"
            case Choice(options):
                return f"({' | '.join(map(self.expression, options))})"
            case Repeated(item, separator, most):
                return self._repeated(self.expression(item), separator, most)
            case Triggered(trigger, items):
                begun = " | ".join(self.expression(_after(trigger, item)) for item in items)
                return f"(({self._until(trigger)} ({begun}))* ANY)"
            case _:
                assert_never(constraint)

    def _until(self, end: str) -> str:
        return f"until_{self._endings.index(end)}"

    def _begins_marked(self, text: str) -> bool:
        return self._cuts is not None and self._cuts.match(text) is not None

    def _literal(self, text: str) -> str:
        parts = [text] if self._cuts is None else [part for part in self._cuts.split(text) if part]
        marked = [f"<[{self._markers[part]}]>" if part in self._markers else _quoted(part) for part in parts]
        return " ".join(marked) or _quoted("")

    def _repeated(self, item: str, separator: str, most: int | None) -> str:
        if most == 1:
            return f"({item})"
        return f"({item} ({self._literal(separator)} {item}){'*' if most is None else f'{{0,{most - 1}}}'})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


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
