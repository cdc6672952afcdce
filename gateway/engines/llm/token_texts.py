"""The text of rows of tokens from those of single tokens, where that is the same; knows no tokenizer library."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

Decode = Callable[[Sequence[Sequence[int]]], list[str]]
Texts = list[str | None]
ROW_TOKENS, PROBES = 32, 64
# More rows than this that are not what their tokens spell mean a vocabulary of another kind.
MOST_ODD_ROWS = 64
SPACE_MARK = "\u2581"
BYTE = re.compile("<0x[0-9A-F]{2}>")


class TokenTexts:
    """Joins texts of single tokens: a microsecond, where a call of a tokenizer costs a hundred and more.

    `texts` has that of each token by its id, None for one that is not whole text. If `strips`, the tokenizer leaves
    out the space with which a row begins.
    """

    def __init__(self, texts: Texts, *, strips: bool) -> None:
        self._texts = texts
        self._strips = strips

    def of(self, row: Sequence[int]) -> str | None:
        """The text of the row; None if only the tokenizer can tell."""
        texts = self._texts
        try:
            text = "".join([texts[id] for id in row])  # type: ignore[misc]
        except (TypeError, IndexError):
            return None
        return text.removeprefix(" ") if self._strips else text

    def within(self, id: int) -> str | None:
        """What one token adds to a row behind others; None if it is not whole text."""
        return self._texts[id] if id < len(self._texts) else None


def spelled(vocabulary: Mapping[bytes, int]) -> Texts:
    """The text of each token's bytes by its id; None for parts of characters and for ids without a token."""
    texts: Texts = [None] * (max(vocabulary.values(), default=-1) + 1)
    for piece, id in vocabulary.items():
        try:
            texts[id] = piece.decode() or None
        except UnicodeDecodeError:
            continue
    return texts


def token_texts(decode: Decode, spellings: Texts, anchor: int, samples: Iterable[Sequence[int]]) -> TokenTexts | None:
    """The texts of all tokens as `decode` gives them; None if it does not give rows the texts of their tokens.

    Tried on the whole vocabulary, on random rows and on the samples. `anchor` is a token of ordinary text.
    """
    texts = _confirmed(decode, spellings, anchor)
    if texts is None:
        return None
    chance = random.Random(0)  # noqa: S311
    whole = [id for id, text in enumerate(texts) if text is not None]
    rows = [chance.choices(whole, k=ROW_TOKENS) for _ in range(PROBES)] if whole else []
    rows += [[id for id in sample if texts[id] is not None] for sample in samples]
    told = decode(rows)
    for strips in (False, True):
        joined = TokenTexts(texts, strips=strips)
        if [joined.of(row) for row in rows] == told:
            return joined
    return None


def _confirmed(decode: Decode, spellings: Texts, anchor: int) -> Texts | None:
    """The spellings that `decode` confirms behind the anchor; None if some come out as other text.

    Special tokens have none where they are left out, and the names of bytes are no text.
    """
    known = [id for id, text in enumerate(spellings) if text is not None]
    rows = [known[at : at + ROW_TOKENS] for at in range(0, len(known), ROW_TOKENS)]
    texts: Texts = [None] * len(spellings)
    told = _behind(decode, anchor, rows)
    odd = [row for row, text in zip(rows, told, strict=True) if not _note(texts, spellings, row, text)]
    if len(odd) > MOST_ODD_ROWS:
        return None
    single = [[id] for row in odd for id in row]
    for row, text in zip(single, _behind(decode, anchor, single), strict=True):
        if not _note(texts, spellings, row, text) and text and not BYTE.fullmatch(spellings[row[0]] or ""):
            return None
    return texts


def _note(texts: Texts, spellings: Texts, row: Sequence[int], text: str) -> bool:
    """Note the texts of the row's tokens, if they make up `text`; whether they do."""
    for is_marked in (False, True):
        parts = [spellings[id] or "" for id in row]
        if is_marked:
            parts = [part.replace(SPACE_MARK, " ") for part in parts]
        if "".join(parts) == text:
            for id, part in zip(row, parts, strict=True):
                texts[id] = part
            return True
    return False


def _behind(decode: Decode, anchor: int, rows: Sequence[Sequence[int]]) -> list[str]:
    start, *texts = decode([[anchor], *([anchor, *row] for row in rows)])
    return [text.removeprefix(start) for text in texts]
