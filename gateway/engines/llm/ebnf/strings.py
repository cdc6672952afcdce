"""JSON strings in a grammar: free, of a length, of a pattern; knows no schema."""

from __future__ import annotations

from gateway.engines.llm.ebnf.rules import EMPTY, Rules, char_class, literal

QUOTE, BACKSLASH = ord('"'), ord("\\")
# Written as what is allowed: what a negated class leaves over has bytes in it that are no UTF-8.
PLAIN_RANGES = [(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, 0x10FFFF)]
PLAIN = char_class(PLAIN_RANGES)
# Surrogates are left out: they are no characters, and decoders refuse them.
_ESCAPES = (
    '"\\\\" (["\\\\/bfnrt] | "u" ([0-9A-CE-Fa-ce-f] [0-9A-Fa-f] [0-9A-Fa-f] [0-9A-Fa-f] '
    "| [Dd] [0-7] [0-9A-Fa-f] [0-9A-Fa-f]))"
)
_SHORT_ESCAPES = '"\\\\" ["\\\\/bfnrt]'
# Long enough that few tokens cross the end of a block, which is checked token by token while the model writes.
BLOCK = 64


def any_string(rules: Rules) -> str:
    """Any JSON string."""
    return rules.rule(f"{literal(chr(QUOTE))} ({PLAIN} | {_ESCAPES})* {literal(chr(QUOTE))}")


def sized_string(rules: Rules, least: int, most: int | None, where: str) -> str:
    """A JSON string of `least` to `most` characters (None: without end); raises `Unsupported`."""
    quote = literal(chr(QUOTE))
    character = f"({PLAIN} | {_SHORT_ESCAPES})"
    head = _exactly(rules, character, least, where)
    tail = f"{character}*" if most is None else _up_to(rules, character, most - least, where)
    return rules.rule(f"{quote} {head} {tail} {quote}")


def _exactly(rules: Rules, character: str, count: int, where: str) -> str:
    blocks, rest = divmod(count, BLOCK)
    parts = [_block(rules, character, where)] * blocks
    if rest:
        rules.spend(rest, where)
        parts.append(f"{character}{{{rest}}}")
    return " ".join(parts) or EMPTY


def _up_to(rules: Rules, character: str, count: int, where: str) -> str:
    blocks, rest = divmod(count, BLOCK)
    tail = EMPTY
    if rest:
        rules.spend(rest, where)
        tail = rules.rule(f"{character}{{0,{rest}}}")
    if blocks:
        rules.spend(BLOCK, where)
        part = rules.rule(f"{character}{{0,{BLOCK - 1}}}")
        for _ in range(blocks):
            tail = rules.rule(f"{_block(rules, character, where)} {tail} | {part}")
    return tail


def _block(rules: Rules, character: str, where: str) -> str:
    rules.spend(1, where)
    return rules.rule(f"{character}{{{BLOCK}}}")
