"""The text of a custom tool's call, read out of JSON while a model writes it; knows no wire format."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Literal

from gateway.tasks.custom_tool import ARGUMENT
from gateway.tasks.pieces import Piece, ToolCallDelta

_OPENING = f'{{"{ARGUMENT}":"'
_SHAPE = _OPENING + "}"
_SPACES = " \t\r\n"
# Before each part of the object, and behind it.
_LOOSE = (0, 1, len(_OPENING) - 2, len(_OPENING) - 1, len(_OPENING), len(_SHAPE))
_UNIT = re.compile(
    r'(?P<plain>[^"\\]+)|(?P<end>")|\\(?P<short>["\\/bfnrt])'
    r"|\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u(?P<code>[0-9a-fA-F]{4})|(?P<stray>\\)"
)
_UNFINISHED = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?\Z"
)
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNKNOWN = "\ufffd"


class InputText:
    """Decodes `{"input": "…"}`, however it is cut into fragments, so that their texts join to the same.

    Arguments of another form are the text as they stand. What stands behind the string, where nothing but the end of
    the object should, is added as it was written, from the string's quotation mark on. Half a surrogate pair is U+FFFD,
    and an escape that JSON does not know stands for itself.
    """

    def __init__(self) -> None:
        self._part: Literal["shape", "text", "raw"] = "shape"
        self._at = 0
        self._held: list[str] = []

    def feed(self, fragment: str) -> str:
        """What the next fragment adds to the text; it may be known only with a later one."""
        match self._part:
            case "shape":
                return self._shape(fragment)
            case "text":
                return self._text(fragment)
            case "raw":
                return fragment

    def _shape(self, fragment: str) -> str:
        """Read what is around the string, and hold it as long as it is what it should be."""
        for number, character in enumerate(fragment, 1):
            if _SHAPE[self._at : self._at + 1] == character:
                self._at += 1
                if self._at == len(_OPENING):
                    self._part, self._held = "text", []
                    return self._text(fragment[number:])
            elif character not in _SPACES or self._at not in _LOOSE:
                self._part = "raw"
                return "".join(self._held) + fragment
        self._held.append(fragment)
        return ""

    def _text(self, fragment: str) -> str:
        written = "".join(self._held) + fragment
        decoded: list[str] = []
        at = 0
        while unit := None if _UNFINISHED.match(written, at) else _UNIT.match(written, at):
            at = unit.end()
            if unit["end"]:
                self._part, self._held = "shape", ['"']
                return "".join(decoded) + self._shape(written[at:])
            decoded.append(_meaning(unit))
        self._held = [written[at:]]
        return "".join(decoded)


def _meaning(unit: re.Match[str]) -> str:
    if unit["high"]:
        return chr(0x10000 + ((int(unit["high"], 16) & 0x3FF) << 10) + (int(unit["low"], 16) & 0x3FF))
    if unit["code"]:
        number = int(unit["code"], 16)
        return _UNKNOWN if 0xD800 <= number <= 0xDFFF else chr(number)
    if unit["short"]:
        return _SHORT.get(unit["short"], unit["short"])
    return unit["plain"] or unit["stray"]


class CustomCalls:
    """Turns the calls of custom tools, by their `names`, from a function's arguments into text. Serves one answer."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._texts: dict[tuple[int, int], InputText] = {}

    def read(self, piece: Piece) -> Piece:
        """The piece with the text of such calls; what nothing is known of yet is left out."""
        if not self._names or not piece.tool_calls:
            return piece
        deltas = [self._read(piece.index, delta) for delta in piece.tool_calls]
        return replace(
            piece, tool_calls=[delta for delta in deltas if not delta.is_custom or delta.name or delta.arguments]
        )

    def _read(self, choice: int, delta: ToolCallDelta) -> ToolCallDelta:
        place = choice, delta.index
        if delta.name in self._names:
            self._texts[place] = InputText()
        text = self._texts.get(place)
        return delta if text is None else replace(delta, arguments=text.feed(delta.arguments), is_custom=True)
