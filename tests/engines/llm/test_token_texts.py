"""Rows of tokens get the text that their tokenizer gives them, whether or not it is asked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino
import openvino_genai
import openvino_tokenizers
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from gateway.engines.llm.openvino_tokenizer import OpenVinoTokenizer
from gateway.engines.llm.token_texts import Decode, TokenTexts, spelled, token_texts
from tests import tiny_gguf

WORDS = ["a", "b", " a", " the", "the", " .", ".", " n", "'t", "ä", "日本", "<x>"]
VOCABULARY = {bytes([byte]): byte for byte in range(256) if bytes([byte]).decode("latin-1") not in WORDS}
VOCABULARY |= {word.encode(): 256 + index for index, word in enumerate(WORDS)} | {b"\xb6the": 300, b" \xc3": 301}
PIECES = {id: piece for piece, id in VOCABULARY.items()}
A, DOT = 256, 262
HALF, OTHER_HALF = 301, 300


def joined(row: Sequence[int]) -> str:
    return b"".join(PIECES[id] for id in row).decode("utf-8", "ignore")


def dropping(rows: Sequence[Sequence[int]]) -> list[str]:
    """What is not UTF-8 does not show, as in OpenVINO's tokenizers."""
    return [joined(row) for row in rows]


def without_special(rows: Sequence[Sequence[int]]) -> list[str]:
    """One token is left out."""
    return [joined(row).replace("<x>", "") for row in rows]


def stripping(rows: Sequence[Sequence[int]]) -> list[str]:
    """A row does not begin with a space, as in SentencePiece."""
    return [joined(row).removeprefix(" ") for row in rows]


def tidying(rows: Sequence[Sequence[int]]) -> list[str]:
    """No space stands before a full stop."""
    return [joined(row).replace(" .", ".") for row in rows]


def tidying_later(rows: Sequence[Sequence[int]]) -> list[str]:
    """The same, but only where space and full stop are two tokens."""
    return [joined(row).replace("a  .", "a .") for row in rows]


def shouting(rows: Sequence[Sequence[int]]) -> list[str]:
    """No token has the text of its bytes."""
    return [joined(row).upper() + "!" * len(row) for row in rows]


def made(decode: Decode) -> TokenTexts | None:
    return token_texts(decode, spelled(VOCABULARY), A, [[A, 32, 32, DOT, A]])


@pytest.mark.parametrize("decode", [dropping, without_special, stripping])
def test_rows_have_the_text_that_the_tokenizer_gives_them(decode: Decode) -> None:
    texts, chance = made(decode), random.Random(1)
    assert texts is not None
    rows = [chance.choices(list(PIECES), k=chance.randrange(6)) for _ in range(2000)]
    told = [(texts.of(row), text) for row, text in zip(rows, decode(rows), strict=True)]
    assert all(ours in (None, text) for ours, text in told)
    assert sum(ours is not None for ours, _ in told) > 400


@pytest.mark.parametrize("row", [[A, HALF], [HALF, OTHER_HALF], [A, 0xC3, 0xA4], [A, 999]])
def test_parts_of_characters_and_unknown_ids_are_for_the_tokenizer(row: list[int]) -> None:
    texts = made(dropping)
    assert texts is not None
    assert texts.of(row) is None


def test_a_special_token_is_for_the_tokenizer_where_it_leaves_it_out() -> None:
    special = VOCABULARY[b"<x>"]
    assert (texts := made(dropping)) is not None
    assert texts.of([A, special]) == "a<x>"
    assert (texts := made(without_special)) is not None
    assert texts.of([A, special]) is None


@pytest.mark.parametrize("decode", [tidying, tidying_later, shouting])
def test_a_tokenizer_that_changes_texts_is_always_asked(decode: Decode) -> None:
    assert made(decode) is None


def sentencepiece_like(folder: Path) -> Any:
    """OpenVINO's form of a tokenizer whose words begin with a mark and whose other characters are bytes."""
    marked = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = ["\u2581", *"abcdehlorstw", "th", "the", "\u2581the", "\u2581a", "ä"]
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("\u2581", "a")]
    vocabulary = {piece: id for id, piece in enumerate([*marked, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.add_special_tokens(marked[:3])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token="</s>", bos_token="<s>", unk_token="<unk>"
    )
    pair = openvino_tokenizers.convert_tokenizer(fast, with_detokenizer=True)
    for name, model in zip(("openvino_tokenizer", "openvino_detokenizer"), pair, strict=True):
        openvino.save_model(model, folder / f"{name}.xml")
    return openvino_genai.Tokenizer(folder)


@pytest.fixture(params=["smollm", "tiny", "sentencepiece"])
def library(request: pytest.FixtureRequest, smollm_file: Path, tmp_path: Path) -> Any:
    """Tokenizers as OpenVINO has them."""
    if request.param == "sentencepiece":
        return sentencepiece_like(tmp_path)
    return openvino_genai.Tokenizer(
        smollm_file if request.param == "smollm" else tiny_gguf.chat_gguf(tmp_path / "g.gguf")
    )


@pytest.mark.parametrize("special", [False, True])
def test_decoding_equals_the_library(library: Any, special: bool) -> None:
    ours, chance = OpenVinoTokenizer(library), random.Random(2)
    texts = ["the other that, it 's . do n't", "naïve 日本語 😀 <|im_end|> x", " two  spaces\n\n", "a"]
    rows = [ours.encode(text, add_special_tokens=False) for text in texts]
    rows += [chance.choices(range(len(library.get_vocab())), k=chance.randrange(12)) for _ in range(200)]
    expected = [library.decode(row, skip_special_tokens=not special) if row else "" for row in rows]
    assert ours.decode(rows, special=special) == expected
    assert [ours.decode([row], special=special)[0] for row in rows] == expected


class Counted:
    """A tokenizer that counts how often it is asked for texts."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def decode(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return self._tokenizer.decode(*args, **options)


def test_the_library_is_asked_only_for_what_single_tokens_do_not_tell(library: Any) -> None:
    counted = Counted(library)
    ours = OpenVinoTokenizer(counted)
    whole = ours.encode("the other words", add_special_tokens=False)
    counted.asked = 0
    assert ours.decode([whole, whole[1:]]) == ["the other words", library.decode(whole[1:])]
    assert counted.asked == 0
    ours.decode([whole, ours.encode("a 😀", add_special_tokens=False)])
    assert counted.asked == 1
