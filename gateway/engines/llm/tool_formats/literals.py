"""Reads values written as in Python or in JSON, as they arrive; knows no tool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.engines.llm.json_text import MAX_DEPTH
from gateway.engines.llm.tape import Reading, Tape

_WORD = re.compile(r"[-+.\w]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": ""}
_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}


class NotAValue(Exception):
    """What comes next is no value."""


@dataclass(frozen=True)
class Literals:
    """A notation: what quotes a string, and whether keys stand without quotes.

    Backslashes escape in strings whose quote is a single character.
    """

    quotes: tuple[str, ...] = ('"', "'")
    bare_keys: bool = False

    def read(self, tape: Tape, depth: int = 0) -> Reading[Any]:
        """One value; raises `NotAValue` where there is none."""
        quote = yield from tape.match(*self.quotes)
        if quote:
            return (yield from self.read_string(tape, quote))
        if depth < MAX_DEPTH and (opened := (yield from tape.match("[", "(", "{"))):
            if opened == "{":
                return (yield from self._read_dict(tape, depth))
            return (yield from self._read_list(tape, "]" if opened == "[" else ")", depth))
        word: list[str] = []
        yield from tape.run(_WORD, word.append)
        return _scalar("".join(word))

    def read_string(self, tape: Tape, quote: str) -> Reading[str]:
        """The rest of a string after its opening quote."""
        parts: list[str] = []
        while True:
            mark = yield from tape.until((quote, "\\") if len(quote) == 1 else (quote,), parts.append)
            if mark == quote:
                return "".join(parts)
            if not mark:
                raise NotAValue
            parts.append((yield from _read_escape(tape)))

    def _read_list(self, tape: Tape, close: str, depth: int) -> Reading[list[Any]]:
        items: list[Any] = []
        yield from tape.space()
        while not (yield from tape.match(close)):
            items.append((yield from self.read(tape, depth + 1)))
            yield from _read_comma(tape, close)
        return items

    def _read_dict(self, tape: Tape, depth: int) -> Reading[dict[str, Any]]:
        items: dict[str, Any] = {}
        yield from tape.space()
        while not (yield from tape.match("}")):
            key = yield from self._read_key(tape)
            yield from tape.space()
            if not (yield from tape.match(":")):
                raise NotAValue
            yield from tape.space()
            items[key] = yield from self.read(tape, depth + 1)
            yield from _read_comma(tape, "}")
        return items

    def _read_key(self, tape: Tape) -> Reading[str]:
        quote = yield from tape.match(*self.quotes)
        if quote:
            return (yield from self.read_string(tape, quote))
        name: list[str] = []
        yield from tape.run(_WORD, name.append)
        if not name or not self.bare_keys:
            raise NotAValue
        return "".join(name)


def _read_comma(tape: Tape, close: str) -> Reading[None]:
    """What stands between two items: a comma, unless the close follows."""
    yield from tape.space()
    if not (yield from tape.match(",")) and (yield from tape.peek()) != close:
        raise NotAValue
    yield from tape.space()


def _read_escape(tape: Tape) -> Reading[str]:
    """The character that follows a backslash, or that four digits stand for."""
    char = yield from tape.peek()
    if not char:
        raise NotAValue
    yield from tape.match(char)
    if char != "u":
        return _ESCAPES.get(char, char if char in "\"'\\/" else f"\\{char}")
    digits = ""
    while len(digits) < 4:
        digit = yield from tape.peek()
        if not digit or digit not in "0123456789abcdefABCDEF":
            raise NotAValue
        digits += yield from tape.match(digit)
    code = int(digits, 16)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def _scalar(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    try:
        return orjson.loads(word)
    except orjson.JSONDecodeError:
        raise NotAValue from None
