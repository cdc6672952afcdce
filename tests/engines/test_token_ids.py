"""Long texts give the token ids that they give as a whole, though no more is read of them than counts."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from gateway.engines.token_ids import CHARACTERS_AT_ONCE, MOST_CHARACTERS, SEAM_TOKENS, opening, runs, tokenize
from tests import tiny, tiny_text
from tests.engines.test_reranker import body, engine, rank

WINDOW = 16
CHANCE = random.Random(5)
WORDS = [
    "".join(CHANCE.choices(string.ascii_lowercase, k=length))
    for length in CHANCE.choices((1, 3, 9, 40, 99, 101, 300), k=3000)
]
TEXTS = {
    "words": " ".join(WORDS),
    "letters": " ".join(string.ascii_lowercase * 100),
    "one word": "ab" * 20_000,
    "blanks first": " " * 5000 + "a b c " * 500,
    "blanks within": ("a" + " " * 400) * 100,
    "signs": "a,b;c!" * 1000,
    "short": "a b c",
    "nothing": "",
}
TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "words": lambda: tiny.word_tokenizer(WINDOW),
    "bytes": tiny.byte_tokenizer,
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ids_are_those_of_the_whole_text(kind: str) -> None:
    tokenizer, texts = TOKENIZERS[kind](), list(TEXTS.values())
    whole = tokenizer(texts, truncation=True, max_length=WINDOW)["input_ids"]
    assert tokenize(tokenizer, texts, WINDOW) == whole


@pytest.mark.parametrize("seed", range(20))
def test_wherever_a_word_is_cut_the_ids_before_it_stay(seed: int) -> None:
    chance = random.Random(seed)
    text = " ".join(chance.sample(WORDS, k=200))
    tokenizer = tiny.word_tokenizer(WINDOW)
    assert tokenize(tokenizer, [text], WINDOW)[0] == tokenizer(text, truncation=True, max_length=WINDOW)["input_ids"]


def test_no_more_is_read_than_fills_the_window_and_never_more_than_the_bound() -> None:
    tokenizer = tiny.word_tokenizer(WINDOW)
    assert opening(tokenizer, "a," * 1_000_000, WINDOW) == "a," * ((WINDOW + SEAM_TOKENS) // 2)
    assert len(opening(tokenizer, " " * 1_000_000, WINDOW)) == MOST_CHARACTERS
    tokenizer.truncation_side = "left"
    assert opening(tokenizer, "b" * 1_000_000 + "a", WINDOW).endswith("ba")


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_pairs_are_those_of_the_whole_texts(kind: str, tmp_path: Path) -> None:
    reranker = engine(tiny_text.cross_encoder(tmp_path, kind))
    texts = [text[:600] for text in TEXTS.values()]  # the library takes for ever over longer pairs
    pairs = [(one, other) for one in texts for other in texts]
    queries, contexts = (list(part) for part in zip(*pairs, strict=True))
    whole = reranker._tokenizer(queries, contexts, truncation="longest_first", max_length=reranker._window)
    rows, types = reranker._tokenize(pairs)
    assert [len(row) for row in rows] == [len(row) for row in whole["input_ids"]]
    # Which of two long texts is the longer is not known, and that one would get the odd token.
    lengths = [[len(row) for row in reranker._tokenizer(part)["input_ids"]] for part in (queries, contexts)]
    sure = [i for i, both in enumerate(zip(*lengths, strict=True)) if min(both) < reranker._window]
    assert len(sure) > 40
    assert [rows[i] for i in sure] == [whole["input_ids"][i] for i in sure]
    assert (types or [])[:1] == whole.get("token_type_ids", [])[:1]


def test_long_pairs_are_ranked(tmp_path: Path) -> None:
    reranker = engine(tiny_text.cross_encoder(tmp_path))
    dense = " " * 200 + "a," * 30_000
    ((first, second),) = rank(reranker, body(dense, [dense, "short"]))
    assert {first[0], second[0]} == {0, 1}


def test_texts_are_read_together_as_far_as_the_bound_allows() -> None:
    most = CHARACTERS_AT_ONCE
    assert list(runs([])) == []
    assert list(runs([1, most - 1, 1, 3 * most, 0, 5])) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]
