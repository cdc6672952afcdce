"""The tokenizer that comes with weights in OpenVINO's form; knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from gateway.engines.llm.token_texts import BYTE, SPACE_MARK, Texts, TokenTexts, spelled, token_texts

# What tokenizers that tidy up would write otherwise.
SAMPLE = "it 's . , ! ? do n't I 'm we 've you 're  two"
ORDINARY = "a"


class OpenVinoTokenizer:
    """The library's tokenizer, which is asked for texts only where those of the single tokens do not tell them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.template: str | None = tokenizer.get_original_chat_template() or None
        self.tool_template: str | None = None
        self.response_template: Mapping[str, Any] | None = None
        self.bos_token: str = tokenizer.get_bos_token()
        self.eos_token: str = tokenizer.get_eos_token()
        pad = tokenizer.get_pad_token_id()
        self._pads_silently = pad >= 0 and not tokenizer.decode([pad])
        self._vocabulary: dict[bytes, int] = tokenizer.get_vocab()
        spellings = spelled(self._vocabulary)
        self._texts = {special: self._single_texts(spellings, special=special) for special in (False, True)}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of `text`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).input_ids.data[0].tolist()
        return ids

    def plain(self, text: str) -> list[int]:
        """The ids of `text` and of nothing before it."""
        return self.encode(text, add_special_tokens=False)

    def decode(self, rows: Sequence[Sequence[int]], *, special: bool = False) -> list[str]:
        """The text of each row; special tokens are left out unless asked for."""
        texts = self._texts[special]
        if texts is None:
            return self._decode(rows, special=special)
        told = [texts.of(row) for row in rows]
        if None not in told:
            return cast(list[str], told)
        rest = iter(self._decode([row for row, text in zip(rows, told, strict=True) if text is None], special=special))
        return [next(rest) if text is None else text for text in told]

    def pieces(self) -> dict[int, bytes]:
        """What each token adds to a text, by its id."""
        known = self._texts[True]
        return {
            id: _written(piece, None if known is None else known.within(id)) for piece, id in self._vocabulary.items()
        }

    def special(self) -> set[int]:
        """The tokens that are left out of texts."""
        ids = list(self._vocabulary.values())
        kept = self._texts[False]
        rows = [[id] for id in ids if kept is None or kept.within(id) is None]
        texts = zip(rows, self._decode(rows, special=False), self._decode(rows, special=True), strict=True)
        return {row[0] for row, text, named in texts if named and not text}

    def _decode(self, rows: Sequence[Sequence[int]], *, special: bool) -> list[str]:
        """In one call; where what fills short rows up would show, in one for each length."""
        texts = [""] * len(rows)
        groups: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            if row:
                groups.setdefault(len(row) if special or not self._pads_silently else 0, []).append(index)
        for indices in groups.values():
            told = self._tokenizer.decode([list(rows[index]) for index in indices], skip_special_tokens=not special)
            for index, text in zip(indices, told, strict=True):
                texts[index] = text
        return texts

    def _single_texts(self, spellings: Texts, *, special: bool) -> TokenTexts | None:
        """The texts of tokens, if this tokenizer makes those of rows of them alone."""
        anchor = self.encode(ORDINARY, add_special_tokens=False)[-1:]
        sample = self.encode(SAMPLE, add_special_tokens=False)
        return token_texts(partial(self._decode, special=special), spellings, anchor[0], [sample]) if anchor else None


def _written(piece: bytes, text: str | None) -> bytes:
    """The bytes of a token: of its text, if that is known, else of its spelling."""
    if text is not None:
        return text.encode()
    spelling = piece.decode(errors="replace")
    if BYTE.fullmatch(spelling):
        return bytes([int(spelling[3:5], 16)])
    return piece.replace(SPACE_MARK.encode(), b" ")
