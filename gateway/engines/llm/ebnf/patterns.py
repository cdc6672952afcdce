"""Regular expressions as the content of JSON strings in a grammar; knows no schema.

Where an expression allows rare characters, the grammar allows fewer: whatever is written matches all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gateway.engines.llm.ebnf.rules import EMPTY, Rules, Unsupported, char_class, literal
from gateway.engines.llm.ebnf.strings import BACKSLASH, PLAIN, PLAIN_RANGES, QUOTE

# Python's own parser of regular expressions: there is no public one, and it reads what JSON Schemas use.
_parser, _ops = import_module("re._parser"), import_module("re._constants")

MAX_REPEATS = 128
LAST = 0x10FFFF
_ASCII_WORD = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_BEYOND_ASCII = (0x80, LAST)
# Python counts digits, letters and spaces of every script to the classes, other dialects only those of ASCII. So
# each class has what is in it in every dialect, and what is in it in some.
_IN_ALL = {
    _ops.CATEGORY_DIGIT: [(0x30, 0x39)],
    _ops.CATEGORY_WORD: _ASCII_WORD,
    _ops.CATEGORY_SPACE: [(0x09, 0x0D), (0x20, 0x20)],
}
_IN_SOME = {
    _ops.CATEGORY_DIGIT: [(0x30, 0x39), _BEYOND_ASCII],
    _ops.CATEGORY_WORD: [*_ASCII_WORD, _BEYOND_ASCII],
    _ops.CATEGORY_SPACE: [(0x09, 0x0D), (0x1C, 0x20), _BEYOND_ASCII],
}
_OPPOSITES = {
    _ops.CATEGORY_NOT_DIGIT: _ops.CATEGORY_DIGIT,
    _ops.CATEGORY_NOT_WORD: _ops.CATEGORY_WORD,
    _ops.CATEGORY_NOT_SPACE: _ops.CATEGORY_SPACE,
}
_NO_LINE_END = [(0, 0x2027), (0x202A, LAST)]
_ESCAPED = {QUOTE: '\\"', BACKSLASH: "\\\\", 0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r"}

Ranges = list[tuple[int, int]]


def matching_string(rules: Rules, pattern: str, where: str) -> str:
    """A JSON string in which `pattern` is found; raises `Unsupported`."""
    try:
        parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError):
        raise Unsupported(where, "a regular expression that cannot be read") from None
    if parsed.state.flags & ~re.UNICODE.value:
        raise Unsupported(where, "a regular expression with flags is not supported")
    quote = literal(chr(QUOTE))
    return rules.rule(f"{quote} {_Writer(rules, where).found(list(parsed))} {quote}")


class _Writer:
    """Writes parsed expressions; `where` is the place of the pattern in the schema."""

    def __init__(self, rules: Rules, where: str) -> None:
        self._rules = rules
        self._where = where

    def found(self, nodes: list[Any]) -> str:
        """Text that the nodes match somewhere, or from its beginning or to its end where they say so."""
        if len(nodes) == 1 and nodes[0][0] is _ops.BRANCH:
            return self._rules.either([self.found(list(option)) for option in nodes[0][1][1]])
        starts = bool(nodes) and _is(nodes[0], _ops.AT_BEGINNING, _ops.AT_BEGINNING_STRING)
        ends = len(nodes) > starts and _is(nodes[-1], _ops.AT_END, _ops.AT_END_STRING)
        inner = nodes[starts : len(nodes) - ends]
        if len(inner) == 1 and _is_group(inner[0]) and not (starts or ends):
            return self.found(list(inner[0][1][-1]))
        self._rules.spend(2 - starts - ends, self._where)
        around = f"{PLAIN}*"
        return " ".join([*([] if starts else [around]), self.sequence(inner, 1), *([] if ends else [around])])

    def sequence(self, nodes: Sequence[Any], times: int) -> str:
        """The nodes one after the other; `times` is how often the whole may be repeated."""
        return " ".join(self._node(operator, argument, times) for operator, argument in nodes) or EMPTY

    def _node(self, operator: Any, argument: Any, times: int) -> str:
        if operator is _ops.LITERAL:
            return self._characters([(argument, argument)], times)
        if operator is _ops.NOT_LITERAL:
            return self._characters(_complement([(argument, argument)]), times)
        if operator is _ops.ANY:
            return self._characters(_NO_LINE_END, times)
        if operator is _ops.IN:
            return self._characters(self._members(argument), times)
        if operator is _ops.BRANCH:
            return f"({' | '.join(self.sequence(option, times) for option in argument[1])})"
        if _is_group((operator, argument)):
            return f"({self.sequence(argument[3], times)})"
        if operator in (_ops.MAX_REPEAT, _ops.MIN_REPEAT):
            least, most, inner = argument
            return self._repeated(least, most, inner, times)
        raise Unsupported(self._where, "a regular expression with more than classes, groups, choices and counts")

    def _repeated(self, least: int, most: int, nodes: Sequence[Any], times: int) -> str:
        endless = most == _ops.MAXREPEAT
        counted = least if endless else most
        if counted > MAX_REPEATS:
            raise Unsupported(self._where, f"a regular expression that counts beyond {MAX_REPEATS}")
        item = f"({self.sequence(nodes, times * max(1, counted))})"
        return self._rules.chain(item, least, None if endless else most)

    def _members(self, members: Sequence[Any]) -> Ranges:
        negated = bool(members) and members[0][0] is _ops.NEGATE
        ranges: Ranges = []
        for operator, argument in members[negated:]:
            if operator is _ops.LITERAL:
                ranges.append((argument, argument))
            elif operator is _ops.RANGE:
                ranges.append(argument)
            else:
                ranges += _category(argument, certain=not negated)
        return _complement(ranges) if negated else ranges

    def _characters(self, ranges: Ranges, times: int) -> str:
        """One of the characters, as JSON strings spell them."""
        plain = _complement([*_complement(ranges), *_complement(PLAIN_RANGES)])
        self._rules.spend(times * (sum(high - low for low, high in plain) > len("0123456789abcdef")), self._where)
        options = [char_class(plain)] if plain else []
        if sum(high - low for low, high in ranges) < 0x1000:
            options += [literal(text) for code, text in _ESCAPED.items() if _covers(ranges, code)]
        if not options:
            raise Unsupported(self._where, "a regular expression with characters that JSON strings cannot have")
        return options[0] if len(options) == 1 else f"({' | '.join(options)})"


def _is(node: Any, *anchors: Any) -> bool:
    return node[0] is _ops.AT and node[1] in anchors


def _is_group(node: Any) -> bool:
    """A group without flags of its own."""
    return node[0] is _ops.SUBPATTERN and not node[1][1] and not node[1][2]


def _covers(ranges: Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _complement(ranges: Ranges) -> Ranges:
    """All other code points."""
    gaps: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    return [*gaps, (start, LAST)] if start <= LAST else gaps


def _category(name: Any, *, certain: bool) -> Ranges:
    """What the class has in every dialect or, if it need not be certain, in some."""
    if name in _OPPOSITES:
        return _complement(_category(_OPPOSITES[name], certain=not certain))
    return (_IN_ALL if certain else _IN_SOME)[name]
