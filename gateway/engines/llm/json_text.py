"""Reads JSON as it arrives, as far as it is JSON; knows no tool and no schema."""

from __future__ import annotations

import re

import orjson

from gateway.engines.llm.tape import Reading, Sink, Tape

MAX_DEPTH = 64
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_WORD = re.compile(r"[-+.0-9A-Za-z]*")
_HEX = frozenset("0123456789abcdefABCDEF")


def read_value(tape: Tape, sink: Sink, depth: int = 0) -> Reading[bool]:
    """Read one value into `sink`, without the white space between its parts; whether it was JSON to its end.

    What `sink` has got is the beginning of a JSON value even where the text is not. Control characters in strings,
    which JSON forbids and models write, are escaped.
    """
    char = yield from tape.peek()
    if char == '"':
        return (yield from read_string(tape, sink))
    if char in ("{", "["):
        return depth < MAX_DEPTH and (yield from _read_container(tape, sink, depth))
    word: list[str] = []
    yield from tape.run(_WORD, word.append)
    try:
        orjson.loads("".join(word))
    except orjson.JSONDecodeError:
        return False
    sink("".join(word))
    return True


def _read_container(tape: Tape, sink: Sink, depth: int) -> Reading[bool]:
    keyed = (yield from tape.match("{", "[")) == "{"
    close = "}" if keyed else "]"
    sink("{" if keyed else "[")
    yield from tape.space()
    if (yield from tape.match(close)):
        sink(close)
        return True
    while True:
        if keyed and not (yield from _read_key(tape, sink)):
            return False
        if not (yield from read_value(tape, sink, depth + 1)):
            return False
        yield from tape.space()
        end = yield from tape.match(",", close)
        sink(end)
        if end != ",":
            return end == close
        yield from tape.space()


def _read_key(tape: Tape, sink: Sink) -> Reading[bool]:
    if not (yield from read_string(tape, sink)):
        return False
    yield from tape.space()
    colon = yield from tape.match(":")
    sink(colon)
    yield from tape.space()
    return bool(colon)


def read_string(tape: Tape, sink: Sink) -> Reading[bool]:
    """Read one string, with its quotes, into `sink`; whether it was one to its end."""
    if not (yield from tape.match('"')):
        return False
    sink('"')
    while True:
        yield from tape.run(_PLAIN, sink)
        char = yield from tape.peek()
        if not char:
            return False
        if char == "\\":
            if not (yield from _read_escape(tape, sink)):
                return False
            continue
        yield from tape.match(char)
        if char == '"':
            sink(char)
            return True
        sink(orjson.dumps(char).decode()[1:-1])


def _read_escape(tape: Tape, sink: Sink) -> Reading[bool]:
    """One escape, or two that make one character."""
    escape = yield from tape.match(*(f"\\{char}" for char in '"\\/bfnrtu'))
    if escape != "\\u":
        sink(escape)
        return bool(escape)
    code = yield from _read_hex(tape)
    if 0xD800 <= code < 0xDC00 and (yield from tape.match("\\u")):
        low = yield from _read_hex(tape)
        sink(f"\\u{code:04x}\\u{low:04x}" if 0xDC00 <= low < 0xE000 else "\\ufffd")
        return low >= 0
    sink(f"\\u{code:04x}" if 0 <= code < 0xD800 or code >= 0xE000 else "\\ufffd" if code >= 0 else "")
    return code >= 0


def _read_hex(tape: Tape) -> Reading[int]:
    """Four digits, or -1."""
    digits = ""
    while len(digits) < 4:
        char = yield from tape.peek()
        if not char or char not in _HEX:
            return -1
        digits += yield from tape.match(char)
    return int(digits, 16)


def read_text(tape: Tape) -> Reading[str | None]:
    """One string's value; None if there is none."""
    raw: list[str] = []
    whole = yield from read_string(tape, raw.append)
    return str(orjson.loads("".join(raw))) if whole else None
