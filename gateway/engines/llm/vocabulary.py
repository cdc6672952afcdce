"""The tokens of a model as llguidance wants them, to hold texts to grammars; knows no grammar."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from llguidance import LLTokenizer, TokenizerWrapper

MAX_ENCODED = 4096


def vocabulary_of(tokenizer: Any, ends: Collection[int], width: int) -> LLTokenizer | None:
    """That of a tokenizer of transformers; None for those whose tokens' bytes it does not tell.

    `ends` are the tokens that end a turn, `width` is the number of logits.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not ends:
        return None
    plain = json.loads(backend.to_str()) | {"padding": None, "truncation": None}
    return LLTokenizer(json.dumps(plain), n_vocab=max(width, len(tokenizer)), eos_token=sorted(ends))


class _Pieces:
    """What `TokenizerWrapper` asks of a tokenizer. Texts are of ordinary tokens alone, and nothing is put before them.

    It is asked for the same few texts, names of properties for the most part, at every token of an answer.
    """

    def __init__(self, tokens: Sequence[bytes], special: Collection[int], end: int, encode: Callable[[str], list[int]]):
        self.tokens, self.special_token_ids = tokens, sorted(special)
        self.eos_token_id, self.bos_token_id = end, None
        self._ordinary = {token: id for id, token in enumerate(tokens) if id not in special}
        self._longest = max(map(len, self._ordinary), default=0)
        self._encode = encode
        self._known = lru_cache(MAX_ENCODED)(self._ids)

    def __call__(self, text: str) -> list[int]:
        return self._known(text)

    def _ids(self, text: str) -> list[int]:
        """As the tokenizer has them, unless it reads special tokens in the text or begins it with a space."""
        ids, wanted = self._encode(text), text.encode()
        told = [self.tokens[id] for id in ids]
        if b"".join(told) == wanted and self._ordinary.keys() >= set(told):
            return ids
        return self._longest_first(wanted)

    def _longest_first(self, text: bytes) -> list[int]:
        """Each token the longest that the rest begins with."""
        ids, at = [], 0
        while at < len(text):
            lengths = range(min(self._longest, len(text) - at), 0, -1)
            token = next(
                (text[at : at + length] for length in lengths if text[at : at + length] in self._ordinary), None
            )
            if token is None:
                break
            ids.append(self._ordinary[token])
            at += len(token)
        return ids


def vocabulary_from(
    pieces: Mapping[int, bytes],
    special: Collection[int],
    encode: Callable[[str], list[int]],
    ends: Collection[int],
    width: int,
) -> LLTokenizer | None:
    """That of tokens by their bytes; those that are missing, and the `special` ones, are in no text."""
    if not ends:
        return None
    missing = {id: f"<|{id}|>".encode() for id in range(width) if not pieces.get(id)}
    tokens = [missing.get(id) or pieces[id] for id in range(width)]
    wrapped = TokenizerWrapper(_Pieces(tokens, {*special, *missing, *ends}, min(ends), encode))
    return LLTokenizer(wrapped, n_vocab=width, eos_token=sorted(ends))
