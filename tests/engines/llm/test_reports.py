"""Reported tokens are told by their own bytes, whichever engine runs the model."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from gateway.engines.llm import Engine
from gateway.engines.llm.backend import TokenReport
from gateway.engines.llm.reports import Reporter
from gateway.tasks import TASKS, Piece
from gateway.tasks.generation import Choice
from gateway.tasks.pieces import RatedToken
from tests import tiny
from tests.engines.llm.streams import load
from tests.engines.llm.test_prompting import ByteTokenizer
from tests.tiny_gguf import chat_gguf

CHAT = TASKS.get("text-generation", "chat-completion")
SAID = "日 😀"


@pytest.fixture(scope="module", params=["transformers", "openvino"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A model of a token for each byte."""
    folder = tmp_path_factory.mktemp(request.param)
    return load(chat_gguf(folder / "tiny.gguf") if request.param == "openvino" else tiny.chat_model(folder))


@pytest.fixture(scope="module")
def said(engine: Engine) -> Choice:
    """It is held to some characters of several bytes."""
    return joined(asked(engine, response_format={"type": "json_schema", "json_schema": {"const": SAID}}))


def asked(engine: Engine, **body: object) -> list[Piece]:
    engine.admit(0, CHAT.parse({"prompt": "Hi", "logprobs": True, "top_logprobs": 20, "temperature": 0, **body}))
    pieces: list[Piece] = []
    while not (pieces and pieces[-1].is_last):
        for _, piece in engine.step():
            assert isinstance(piece, Piece)
            pieces.append(piece)
    return pieces


def joined(pieces: Sequence[Piece]) -> Choice:
    choice = Choice(0)
    for piece in pieces:
        choice.add(piece)
    return choice


def test_the_bytes_of_the_tokens_join_to_the_text_and_its_end_is_no_part_of_it(said: Choice) -> None:
    assert json.loads(said.text) == SAID
    assert [report.known_bytes() for report in said.logprobs] == [bytes([byte]) for byte in said.text.encode()]


def test_a_part_of_a_character_is_written_as_its_bytes(said: Choice) -> None:
    assert "".join(report.token for report in said.logprobs) == r'"\xe6\x97\xa5 \xf0\x9f\x98\x80"'


def test_rivals_have_their_bytes_too(said: Choice) -> None:
    rivals = [rival for report in said.logprobs for rival in report.top]
    assert any(rival.data is not None for rival in rivals), "no rival is a part of a character"
    assert all(rival.known_bytes() for rival in rivals)


@pytest.mark.parametrize(("stop", "text"), [("so", '"日 😀 say '), ("y", '"日 😀 sa'), ("sx", '"日 😀 say so"')])
def test_what_is_no_part_of_the_text_is_not_reported(engine: Engine, stop: str, text: str) -> None:
    """Whether a stop string was met, or only its beginning."""
    held = {"type": "json_schema", "json_schema": {"const": f"{SAID} say so"}}
    pieces = asked(engine, response_format=held, stop=[stop])
    said = joined(pieces)
    assert (said.text, b"".join(report.known_bytes() or b"" for report in said.logprobs)) == (text, text.encode())
    for at in range(len(pieces)):
        part = joined(pieces[:at])
        reported = b"".join(report.known_bytes() or b"" for report in part.logprobs)
        assert part.text.encode().startswith(reported), "a report comes before its text"


def test_without_a_vocabulary_the_tokenizer_tells_what_it_can() -> None:
    tokenizer = ByteTokenizer(None)
    letter, *_, part = tokenizer.encode("a日", add_special_tokens=False)
    (told,) = Reporter(tokenizer, lambda token: None).told([TokenReport(letter, -0.5, [(part, -1.0)])])
    assert told == RatedToken("a", -0.5).among([RatedToken("\ufffd", -1.0)])
    assert (told.known_bytes(), told.top[0].known_bytes()) == (b"a", None)
