"""Builds a grammar rule by rule within a budget; knows the notation (xgrammar's EBNF) and nothing of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# A state in which a model may write nearly any character costs milliseconds when a grammar is compiled, and
# streams beside it wait meanwhile; others cost next to nothing.
MAX_WIDE_STATES = 384
MAX_RULES = 20_000
EMPTY = '""'


class Unsupported(Exception):
    """A schema asks for what cannot be promised; the text names the keyword, its place in the schema and the reason.

    `field` is where the caller wrote the schema.
    """

    field = ""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{reason} at '{where or '/'}'")


class Rules:
    """The rules of one grammar; equal ones are written once. Expressions are names of rules, literals or classes.

    `wide_states` is how much of the budget is spent.
    """

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.wide_states = 0

    def name(self) -> str:
        """The name of a rule whose body comes later, by `define`."""
        name = f"r{len(self._bodies)}"
        self._bodies[name] = EMPTY
        if len(self._bodies) > MAX_RULES:
            raise Unsupported("", "the schema is too intricate")
        return name

    def define(self, name: str, body: str) -> None:
        """Give a named rule its body."""
        self._bodies[name] = body

    def rule(self, body: str) -> str:
        """The name of a rule with this body."""
        if body not in self._names:
            name = self.name()
            self.define(name, body)
            self._names[body] = name
        return self._names[body]

    def either(self, options: Sequence[str]) -> str:
        """One of the options, as a rule."""
        return self.rule(" | ".join(options))

    def spend(self, wide_states: int, where: str) -> None:
        """Take from the budget; raises `Unsupported` when it is spent."""
        self.wide_states += wide_states
        if self.wide_states > MAX_WIDE_STATES:
            raise Unsupported(where, f"lengths, counts and patterns add up to more than {MAX_WIDE_STATES}: the last is")

    def times(self, item: str, least: int, most: int | None, separator: str = EMPTY) -> str:
        """`item` so many times (`most` None: without end), with `separator` between them."""
        if separator == EMPTY:
            return self.chain(item, least, most)
        if most == 0:
            return EMPTY
        more = self.chain(f"{separator} {item}", max(0, least - 1), None if most is None else most - 1)
        return self.rule(f"{item} {more}" if least else f"{EMPTY} | {item} {more}")

    def chain(self, item: str, least: int, most: int | None, where: str | None = None) -> str:
        """`item` so many times, each rule one and what follows it; raises `Unsupported`.

        Rules are shared between chains that end alike, and a rule for each costs xgrammar a quarter of what a count
        in braces does. With `where` each new rule is a wide state.
        """
        tail = self.rule(f"({item})*") if most is None else EMPTY
        for _ in range(0 if most is None else most - least):
            tail = self._link(f"{EMPTY} | {item} {tail}", where)
        for _ in range(least):
            tail = self._link(f"{item} {tail}", where)
        return tail

    def _link(self, body: str, where: str | None) -> str:
        if where is not None and body not in self._names:
            self.spend(1, where)
        return self.rule(body)

    def text(self, root: str) -> str:
        """The whole grammar, with `root` as its start."""
        return "\n".join([f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._bodies.items())]) + "\n"


def literal(text: str) -> str:
    """Exactly this text."""
    # xgrammar spells some characters in hexadecimal and then takes digits that follow for more of it: they are cut.
    parts = [part for part in re.split(r"(?<=[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff])", text) if part] or [""]
    return " ".join('"' + "".join(_escaped(character, '"') for character in part) + '"' for part in parts)


def char_class(ranges: Sequence[tuple[int, int]]) -> str:
    """One character of these ranges of code points, in ascending order, both ends included."""
    # In a range whose ends have different bytes but for the last, xgrammar takes for UTF-8 what is none.
    parts = (
        _escaped(chr(low), "[]^-") if low == high else f"{_escaped(chr(low), '[]^-')}-{_escaped(chr(high), '[]^-')}"
        for whole in ranges
        for low, high in _aligned(*whole)
    )
    return f"[{''.join(parts)}]"


def _aligned(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The range in parts whose UTF-8 has one length, and fixed bytes, then a range, then any (as in RE2)."""
    cut = next((limit for limit in (0x7F, 0x7FF, 0xFFFF) if low <= limit < high), None)
    for bits in (6, 12, 18):
        rest = (1 << bits) - 1
        if cut is None and low & ~rest != high & ~rest:
            if low & rest:
                cut = low | rest
            elif high & rest != rest:
                cut = (high & ~rest) - 1
    if cut is None:
        yield low, high
    else:
        yield from _aligned(low, cut)
        yield from _aligned(cut + 1, high)


def _escaped(character: str, special: str) -> str:
    if character == "\\" or character in special:
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    return f"\\U{ord(character):08x}"
