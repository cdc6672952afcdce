"""Graphs of fixed shape: made between requests as they are needed, and nothing but the time is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.engines.llm import Engine
from gateway.engines.llm.constraint import Json
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.fixed_graphs import WIDTHS, FixedGraphs
from gateway.engines.llm.grammar import forced
from gateway.engines.llm.sampling import Sampling
from tests.engines.llm.fixed import make_all
from tests.engines.llm.streams import ask, ask_together, load

PROMPTS = [
    "Count from one to fifty.",
    "the sea, the sea, the sea,",
    "Tell me a story",
    "What is the capital of Japan?",
    "List ten animals.",
    "Count from fifty to one.",
    "Tell me a story about the sea",
]


def bodies(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "temperature": heat, "seed": 4, "max_tokens": 30 + 9 * at}
        for at, (prompt, heat) in enumerate(zip(PROMPTS[:count], (0, 0.9) * 4, strict=False))
    ]


@pytest.fixture(scope="module")
def plain(smollm_file: Path) -> Engine:
    return load(smollm_file, options={"backend": "openvino", "fixed_graphs_mib": 0}, prefix_cache="off")


def graph_of(engine: Engine) -> Any:
    return engine._backend._model._stepper._graph  # type: ignore[attr-defined]


def test_answers_are_the_same_by_all_graphs_however_many_streams_there_are(plain: Engine, smollm_file: Path) -> None:
    """Whatever is guessed, too: what the first requests taught is known to the later ones."""
    engine = load(smollm_file, options={"backend": "openvino"})
    expected = [ask(plain, **body) for body in bodies(7)]
    make_all(graph_of(engine))
    for _ in range(2):
        for count in (1, 2, 3, 4, 6, 7):
            told = ask_together(engine, bodies(count))
            assert [answer.text for answer in told] == [answer.text for answer in expected[:count]], count


def test_a_pass_takes_along_what_a_schema_forces(plain: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in ("is_a_mammal", "lives_in_water")},
        "required": ["is_a_mammal", "lives_in_water"],
        "additionalProperties": False,
    }
    model = plain._backend._model  # type: ignore[attr-defined]
    prompt = Prompt(model.tokenizer.encode("A whale as JSON: ", add_special_tokens=False))
    model.add(0, prompt, Decoding(Sampling(60, temperature=0), Json(schema)))
    matcher = model._streams[0].choice.matcher
    model.step()
    taken = 0
    while 0 in model._streams:
        expected = forced(matcher)[:2]
        ((_, advance),) = model.step()
        assert advance.tokens[: len(expected)] == expected
        taken += len(expected)
    assert taken > 5


def test_they_are_made_one_at_a_time_when_all_streams_have_left(smollm_file: Path) -> None:
    engine = load(smollm_file, options={"backend": "openvino"}, prefix_cache="off")
    graph, widths = graph_of(engine), []
    room_bytes = graph.growth_bytes
    for _ in range(len(WIDTHS) + 1):
        ask(engine, prompt=PROMPTS[2], temperature=0, max_tokens=200)
        graph._fixed.compiling.join()
        widths.append(tuple(graph.widths))
    assert widths == [WIDTHS[:1], WIDTHS[:2], WIDTHS, WIDTHS]
    assert (room_bytes > 0, graph.growth_bytes) == (True, 0)


def test_none_is_made_without_memory_for_it(plain: Engine) -> None:
    ask(plain, prompt=PROMPTS[2], temperature=0, max_tokens=200)
    graph = graph_of(plain)
    assert (graph._fixed.compiling, tuple(graph.widths), graph.growth_bytes) == (None, (2,), 0)
    assert graph._fixed._model is None, "the weights are held a second time"


@pytest.mark.parametrize(("mib", "count"), [(0, 0), (149, 0), (150, 1), (300, 2), (10_000, 3)])
def test_as_many_as_there_is_memory_for(mib: int, count: int) -> None:
    assert FixedGraphs(None, 100 << 20, mib << 20).growth_bytes == count * 150 << 20
