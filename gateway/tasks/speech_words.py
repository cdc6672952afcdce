"""Recognised words in Deepgram's form: bare and punctuated, in utterances and paragraphs; knows no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NotRequired

from pydantic import BaseModel
from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.tasks.transcript import Transcript

# Scripts that put no spaces between words.
_UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
_EDGES = re.compile(r"^\W+|\W+$")
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")


class Spoken(BaseModel):
    """One word as it was written down; times in seconds, confidence from 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float

    @property
    def bare(self) -> str:
        """In lower case and without the punctuation around it."""
        return _EDGES.sub("", self.text).lower()


class NovaWord(TypedDict):
    """A word of the answer; the punctuated form only where punctuation was asked for."""

    word: str
    start: float
    end: float
    confidence: float
    punctuated_word: NotRequired[str]


class Sentence(TypedDict):
    """A sentence of a paragraph."""

    text: str
    start: float
    end: float


class Paragraph(TypedDict):
    """Sentences without a long pause between them."""

    sentences: list[Sentence]
    num_words: int
    start: float
    end: float


class Paragraphs(TypedDict):
    """The transcript with a blank line between paragraphs, and the paragraphs."""

    transcript: str
    paragraphs: list[Paragraph]


def spoken_words(transcript: Transcript) -> list[Spoken]:
    """The transcript's words with their confidence, without those that are nothing but punctuation."""
    pairs = zip(transcript.words(), transcript.confidences, strict=True)
    words = (Spoken(text=word.word, start=word.start, end=word.end, confidence=sure) for word, sure in pairs)
    return [word for word in words if word.bare]


def confidence(words: Sequence[Spoken]) -> float:
    """The mean of the words' confidence; 0 without words."""
    return round(sum(word.confidence for word in words) / len(words), 4) if words else 0.0


def joined(words: Sequence[Spoken], language: str, *, punctuate: bool) -> str:
    """The words as running text."""
    texts = (word.text if punctuate else word.bare for word in words)
    return ("" if language in _UNSPACED else " ").join(texts)


def nova_words(words: Sequence[Spoken], *, punctuate: bool) -> list[NovaWord]:
    """The words as the answer lists them."""
    found: list[NovaWord] = []
    for word in words:
        entry = NovaWord(word=word.bare, start=word.start, end=word.end, confidence=round(word.confidence, 4))
        if punctuate:
            entry["punctuated_word"] = word.text
        found.append(entry)
    return found


def at_pauses(words: Sequence[Spoken], pause_s: float) -> list[list[Spoken]]:
    """The words in groups, cut wherever nobody speaks for `pause_s`."""
    return list(_cut(words, lambda before, after: after.start - before.end >= pause_s))


def paragraphs(words: Sequence[Spoken], pause_s: float, language: str) -> Paragraphs:
    """Paragraphs end at pauses of `pause_s`, their sentences at full stops, question and exclamation marks."""
    found: list[Paragraph] = []
    for group in at_pauses(words, pause_s):
        parts = list(_cut(group, lambda before, _: before.text.endswith(_SENTENCE_ENDS)))
        sentences = [
            Sentence(text=joined(part, language, punctuate=True), start=part[0].start, end=part[-1].end)
            for part in parts
        ]
        found.append(Paragraph(sentences=sentences, num_words=len(group), start=group[0].start, end=group[-1].end))
    gap = "" if language in _UNSPACED else " "
    texts = (gap.join(sentence["text"] for sentence in paragraph["sentences"]) for paragraph in found)
    return Paragraphs(transcript="\n\n".join(texts), paragraphs=found)


def _cut(words: Sequence[Spoken], between: Callable[[Spoken, Spoken], bool]) -> Iterator[list[Spoken]]:
    """The words in groups, cut wherever `between` says so of two neighbours."""
    if not words:
        return
    group = [words[0]]
    for before, after in pairwise(words):
        if between(before, after):
            yield group
            group = []
        group.append(after)
    yield group
