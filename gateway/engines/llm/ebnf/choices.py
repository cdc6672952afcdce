"""Choices between texts written so that each character decides: no two ways begin alike; knows no JSON.

Where two options of one rule begin alike and one ends before the other, xgrammar can join their states wrongly and
then allows what neither does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from gateway.engines.llm.ebnf.rules import EMPTY, Rules, char_class, literal

Place = tuple[str, str]
"""The smallest and the largest character that may stand there."""
Text = tuple[Place, ...]


def spelt(text: str) -> Text:
    """A text of which every character is certain."""
    return tuple((character, character) for character in text)


def one_of(rules: Rules, texts: Iterable[Text]) -> str:
    """The rule of all that fits one of the texts; texts that many others end with are written once."""
    return _rest(rules, frozenset(texts), {})


def _rest(rules: Rules, texts: frozenset[Text], known: dict[frozenset[Text], str]) -> str:
    """What may follow where exactly these texts are still possible."""
    if texts not in known:
        start = _common_start(texts)
        if start:
            shorter = frozenset(text[len(start) :] for text in texts)
            options = [f"{_sequence(start)} {_rest(rules, shorter, known)}"]
        else:
            options = [EMPTY] if () in texts else []
            for low, high in _parts({text[0] for text in texts if text}):
                behind = frozenset(text[1:] for text in texts if text and text[0][0] <= low and high <= text[0][1])
                options.append(f"{_place(low, high)} {_rest(rules, behind, known)}")
        known[texts] = rules.rule(" | ".join(options)) if texts != {()} else EMPTY
    return known[texts]


def _common_start(texts: frozenset[Text]) -> Text:
    """The places with which all of them begin, as long as nothing is to be decided."""
    first, *others = texts
    length = len(first)
    for other in others:
        length = min(length, len(other))
        length = next((at for at in range(length) if first[at] != other[at]), length)
    return first[:length]


def _parts(places: set[Place]) -> Iterable[Place]:
    """The places cut where any begins or ends, so that no two parts overlap."""
    starts = sorted({ord(low) for low, _ in places} | {ord(high) + 1 for _, high in places})
    for start, end in itertools.pairwise(starts):
        if any(ord(low) <= start and end - 1 <= ord(high) for low, high in places):
            yield chr(start), chr(end - 1)


def _sequence(text: Text) -> str:
    parts: list[str] = []
    sure = ""
    for low, high in text:
        if low == high:
            sure += low
            continue
        parts += [literal(sure)] * bool(sure) + [_place(low, high)]
        sure = ""
    return " ".join(parts + [literal(sure)] * bool(sure))


def _place(low: str, high: str) -> str:
    return literal(low) if low == high else char_class([(ord(low), ord(high))])
