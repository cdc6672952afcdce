"""Texts as token ids, read no further than they count; knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

# A text is read so far at first, and then so many times further, until it fills the window.
CHARACTERS_PER_TOKEN, FURTHER = 8, 8
# Further than this it is not read, whatever it is made of: blanks, or one word without an end.
MOST_CHARACTERS = 256 * 1024
# What is cut within a word may give other tokens than the whole: at most those of the longest word that is taken apart.
SEAM_TOKENS = 128
# Tokenizers take hundreds of bytes for each character that they read at once.
CHARACTERS_AT_ONCE = 64 * 1024


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], window: int) -> list[list[int]]:
    """Each text's token ids with the special ones, cut to `window` as the model's own tokenizer cuts."""
    openings = [opening(tokenizer, text, window) for text in texts]
    rows: list[list[int]] = []
    for part in runs([len(text) for text in openings]):
        encoded = tokenizer(
            openings[part],
            truncation=True,
            max_length=window,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows += encoded["input_ids"]
    return rows


def opening(tokenizer: PreTrainedTokenizerBase, text: str, window: int) -> str:
    """As much of `text` as decides its first `window` tokens, or as is read of any text.

    The rest is not for the tokenizer to cut: of pairs it makes every combination of what is left over.
    """
    most = max(MOST_CHARACTERS, 4 * CHARACTERS_PER_TOKEN * window)
    if tokenizer.truncation_side != "right":
        return text[-most:]
    size = CHARACTERS_PER_TOKEN * window
    while size < min(len(text), most):
        end = _end_of(tokenizer, text[:size], window + SEAM_TOKENS)
        if end is not None:
            return text[:end]
        size *= FURTHER
    return text[:most]


def _end_of(tokenizer: PreTrainedTokenizerBase, text: str, count: int) -> int | None:
    """Where its first `count` tokens end, if it has so many; where the tokenizer cannot tell that, all of it."""
    encoded = tokenizer(
        text, add_special_tokens=False, truncation=False, verbose=False, return_offsets_mapping=tokenizer.is_fast
    )
    if len(encoded["input_ids"]) < count:
        return None
    return int(encoded["offset_mapping"][count - 1][1]) if tokenizer.is_fast else len(text)


def runs(lengths: Sequence[int]) -> Iterator[slice]:
    """Neighbours that are read at once: as many as have `CHARACTERS_AT_ONCE` together, or one that has more."""
    start = total = 0
    for index, length in enumerate(lengths):
        if index > start and total + length > CHARACTERS_AT_ONCE:
            yield slice(start, index)
            start, total = index, 0
        total += length
    if start < len(lengths):
        yield slice(start, len(lengths))
