"""JSON strings in a grammar: free, of a length, of a pattern; knows no schema."""

from __future__ import annotations

from gateway.engines.llm.ebnf.rules import Rules, char_class, literal

QUOTE, BACKSLASH = ord('"'), ord("\\")
# Written as what is allowed: what a negated class leaves over has bytes in it that are no UTF-8.
PLAIN_RANGES = [(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, 0x10FFFF)]
PLAIN = char_class(PLAIN_RANGES)
# Escapes by number are left out: what they stand for is written as itself, and with them each pass over the
# vocabulary costs many times as much (xgrammar then decides token by token while the model writes).
_ESCAPES = '"\\\\" ["\\\\/bfnrt]'
# Long enough that few tokens cross the end of a block, which is checked token by token while the model writes.
BLOCK = 64


def any_string(rules: Rules) -> str:
    """Any JSON string without escapes by number."""
    return rules.rule(f"{literal(chr(QUOTE))} ({PLAIN} | {_ESCAPES})* {literal(chr(QUOTE))}")


def sized_string(rules: Rules, least: int, most: int | None, where: str) -> str:
    """A JSON string of `least` to `most` characters (None: without end); raises `Unsupported`."""
    quote, character = literal(chr(QUOTE)), f"({PLAIN} | {_ESCAPES})"
    head = [rules.chain(character, count, count, where) for count in _blocks(least)]
    tail = f"{character}*" if most is None else _up_to(rules, character, most - least, where)
    return " ".join([quote, *head, tail, quote])


def _up_to(rules: Rules, character: str, count: int, where: str) -> str:
    """At most so many characters: full blocks, and then less than one, which strings of all lengths share."""
    *full, rest = _blocks(count)
    tail = rules.chain(character, 0, rest, where)
    for block in full:
        more, last = rules.chain(character, block, block, where), rules.chain(character, 0, block - 1, where)
        tail = rules.rule(f"{more} {tail} | {last}")
    return tail


def _blocks(count: int) -> list[int]:
    """So many characters in full blocks, and what is left."""
    return [*[BLOCK] * (count // BLOCK), count % BLOCK]
