"""Speech sentence by sentence: early, fair, whole, and no further than anybody listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from gateway.config import ModelSpec
from gateway.engines.audio import decode
from gateway.engines.espeak import Engine
from gateway.engines.sentences import MAX_CHARACTERS, sentences
from gateway.errors import BadInput
from gateway.tasks import TASKS
from gateway.tasks.text_to_speech import Encoding, EnglishSpeaker, SpanishSpeaker, SpeechOutput
from tests.engines.speaking import pieces, say

AURA = TASKS.get("text-to-speech", "aura")
LONG = "This is the first sentence. Here is another one! And a third? The last one ends it."


@pytest.fixture(scope="module")
def engine(espeak_files: Path) -> Iterator[Engine]:
    engine = Engine(ModelSpec(name="@local/e", task=AURA.name, shape="aura", engine="espeak"), AURA, espeak_files)
    yield engine
    engine.close()


def aura(text: str, **fields: Any) -> Any:
    return AURA.parse({"text": text, **fields})


@pytest.mark.parametrize("encoding", get_args(Encoding))
def test_the_first_sentence_is_heard_before_the_last_is_made(engine: Engine, encoding: str) -> None:
    (found,) = pieces(engine, [aura(LONG, encoding=encoding)])
    assert isinstance(found, list)
    assert len(found) == 5
    assert found[0].extra["media_type"]
    assert all(piece.data for piece in found[:4])
    first = decode(found[0].data) if encoding in ("linear16", "mulaw", "alaw", "mp3", "aac") else None
    assert first is None or np.abs(first).max() > 0.1
    whole = decode(b"".join(piece.data for piece in found))
    assert len(whole) > 4 * 16_000


def test_a_file_that_is_not_streamed_tells_its_length(engine: Engine) -> None:
    melotts = TASKS.get("text-to-speech", "melotts")
    (found,) = pieces(engine, [melotts.parse({"prompt": LONG})])
    assert isinstance(found, list)
    assert [bool(piece.data) for piece in found] == [False, False, False, False, True]
    assert b"Xing" in found[-1].data[:2000] or b"Info" in found[-1].data[:2000]


def test_a_long_text_does_not_keep_a_short_one_waiting(engine: Engine) -> None:
    engine.admit(1, aura(LONG * 20))
    engine.admit(2, aura("Hi."))
    order = []
    while 2 in engine._inside:
        order += [id for id, _ in engine.step()]
    engine.drop(1)
    assert order.count(1) <= 3
    assert not engine._inside


def test_a_dropped_text_is_not_said_any_further(engine: Engine) -> None:
    engine.admit(1, aura(LONG))
    engine.step()
    engine.drop(1)
    engine.drop(1)
    (output,) = say(engine, AURA, [aura("Hi.")])
    assert isinstance(output, SpeechOutput)


@pytest.mark.parametrize(
    ("shape", "speaker"),
    [
        *(("aura-2-en", speaker) for speaker in get_args(EnglishSpeaker)),
        *(("aura-2-es", speaker) for speaker in get_args(SpanishSpeaker)),
    ],
)
def test_every_speaker_has_a_voice(engine: Engine, espeak_files: Path, shape: str, speaker: str) -> None:
    utterance = TASKS.get("text-to-speech", shape).parse({"text": "x", "speaker": speaker}).utterance()  # type: ignore[attr-defined]
    voice, _, variant = engine.voice(utterance.language, utterance.speaker).partition("+")
    assert voice == engine.voice(shape[-2:], None)
    assert (espeak_files / "espeak-ng-data" / "voices" / "!v" / variant).is_file()


def test_a_speaker_of_another_model_is_refused() -> None:
    for shape in ("aura", "aura-2-en", "aura-2-es"):
        with pytest.raises(BadInput, match="'/speaker' must be one of "):
            TASKS.get("text-to-speech", shape).parse({"text": "x", "speaker": "nobody"})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two!  Three?\nFour", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("3.14 is a number, e.g. this", ["3.14 is a number, e.g.", "this"]),
        ("你好。世界！", ["你好。", "世界！"]),
        ("   \n\n ", []),
        ("", []),
    ],
)
def test_texts_are_cut_after_sentences(text: str, parts: list[str]) -> None:
    assert list(sentences(text)) == parts


@pytest.mark.parametrize("text", ["word " * 500, "x" * 2000, "a, " * 400 + ". End.", "早" * 1000])
def test_no_part_is_long_and_no_word_is_lost(text: str) -> None:
    parts = list(sentences(text))
    assert max(map(len, parts)) <= MAX_CHARACTERS
    assert "".join("".join(parts).split()) == "".join(text.split())
