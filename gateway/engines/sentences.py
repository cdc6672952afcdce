"""Text in pieces short enough to be spoken one by one; knows no language and no voice."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARACTERS = 300
# After a full stop and its like, with the quotation marks and brackets that close there, or at the end of a line.
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
_CLAUSE = re.compile(rf".{{1,{MAX_CHARACTERS - 1}}}(?:[,;:、，；：]|\s|$)|.{{1,{MAX_CHARACTERS}}}", re.DOTALL)


def sentences(text: str) -> Iterator[str]:
    """The sentences of `text`, the long ones cut after a comma or a space; all of its words, in order."""
    start = 0
    for end in (*(found.end() for found in _SENTENCE.finditer(text)), len(text)):
        sentence = text[start:end].strip()
        start = end
        if len(sentence) <= MAX_CHARACTERS:
            if sentence:
                yield sentence
            continue
        for clause in _CLAUSE.findall(sentence):
            if clause.strip():
                yield clause.strip()
