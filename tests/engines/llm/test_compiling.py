"""Grammars that are costly to compile are spread over passes, so that the streams beside them go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engines.llm.compiling import FREE_STATES, MOST_KNOWN, STATES_A_PASS, Compiling
from gateway.engines.llm.constraint import Json
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.ebnf import Grammar, grammar_of
from gateway.engines.llm.sampling import Sampling
from gateway.errors import GatewayError
from tests import tiny_gguf
from tests.engines.llm.streams import load

PLAIN, PASSES = 1, 400
# Longer strings have as many wide states as one of 128 characters.
WIDE_STATES = grammar_of(Json({"type": "string", "maxLength": 200})).wide_states
PAUSE = -(-WIDE_STATES // STATES_A_PASS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights."""
    return tiny_gguf.chat_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def model(file: Path) -> Iterator[Any]:
    """One that has not seen a grammar yet."""
    found = load(file, options={"backend": "openvino"})._backend._model  # type: ignore[attr-defined]
    yield found
    for id in range(1, 5):
        found.drop(id)


def wide(length: int) -> Json:
    """A string of at most this length."""
    return Json({"type": "string", "maxLength": length})


def add(model: Any, id: int, constraint: Json | None = None) -> None:
    model.add(id, Prompt([5, 6, 7]), Decoding(Sampling(PASSES), constraint, ignore_eos=True))


def first_passes(model: Any, ids: set[int]) -> dict[int, int]:
    """In which pass each of the streams had its first token; the plain one has one in every pass."""
    firsts: dict[int, int] = {}
    for number in range(PASSES):
        gained = [id for id, advance in model.step() if not isinstance(advance, GatewayError) and advance.tokens]
        assert PLAIN in gained
        for id in gained:
            firsts.setdefault(id, number)
        if firsts.keys() >= ids:
            return firsts
    raise AssertionError(f"only {firsts} of {ids}")


def test_between_costly_grammars_the_streams_beside_make_passes(model: Any) -> None:
    add(model, PLAIN)
    for id, length in ((2, 200), (3, 201), (4, 202)):
        add(model, id, wide(length))
    assert first_passes(model, {2, 3, 4}) == {PLAIN: 0, 2: 0, 3: PAUSE, 4: 2 * PAUSE}


@pytest.mark.parametrize(
    "constraints",
    [
        [wide(200), wide(200), wide(200)],
        [wide(9), wide(10), wide(11)],
        [wide(200), None, wide(200)],
    ],
    ids=["known", "together not costly", "without a grammar"],
)
def test_what_costs_little_is_not_held_up(model: Any, constraints: list[Json | None]) -> None:
    add(model, PLAIN)
    for id, constraint in enumerate(constraints, 2):
        add(model, id, constraint)
    assert set(first_passes(model, {2, 3, 4}).values()) == {0}


def test_nobody_is_held_up_where_nobody_is_beside(model: Any) -> None:
    add(model, PLAIN, wide(200))
    model.step()
    model.drop(PLAIN)
    add(model, PLAIN, wide(201))
    assert first_passes(model, {PLAIN}) == {PLAIN: 0}


def test_a_held_stream_can_leave_and_the_next_takes_its_turn(model: Any) -> None:
    add(model, PLAIN)
    for id, length in ((2, 200), (3, 201), (4, 202)):
        add(model, id, wide(length))
    model.drop(3)
    assert first_passes(model, {2, 4}) == {PLAIN: 0, 2: 0, 4: PAUSE}


def test_a_held_stream_enters_when_the_others_have_left(model: Any) -> None:
    add(model, PLAIN)
    add(model, 2, wide(200))
    add(model, 3, wide(201))
    model.step()
    model.drop(PLAIN)
    model.drop(2)
    assert [id for id, _ in model.step()] == [3]


def test_only_so_many_grammars_are_remembered() -> None:
    compiling = Compiling()
    for number in range(MOST_KNOWN + 1):
        compiling.begin(Grammar(str(number)))
    assert not compiling.knows(Grammar("0"))
    assert compiling.knows(Grammar("1"))


def test_small_grammars_share_a_pass_up_to_a_bound() -> None:
    compiling, half = Compiling(), FREE_STATES // 2
    for number in range(2):
        assert compiling.has_room(Grammar(str(number), half))
        compiling.begin(Grammar(str(number), half))
    assert not compiling.has_room(Grammar("2", half))
    for _ in range(half // STATES_A_PASS):
        compiling.passed()
    assert compiling.has_room(Grammar("2", half))
