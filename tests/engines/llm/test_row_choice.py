"""What is chosen for a row depends on nothing but the row and its stream."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.row_choice import Chosen, as_chosen, choose, likeliest
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.score_edits import ScoreEdits, edit
from gateway.engines.llm.token_choice import TokenChoice
from gateway.engines.llm.working_copy import rows_at_once
from gateway.errors import GatewayError, InferenceFailed

WIDTHS = [262, 4096, 20_001]
SAMPLINGS = st.builds(
    Sampling,
    st.just(10),
    temperature=st.sampled_from([0.0, 0.2, 1.0, 5.0]),
    top_p=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    top_k=st.sampled_from([0, 1, 40, 1000]),
    seed=st.integers(0, 2**62),
    repetition_penalty=st.sampled_from([0.0, 0.7, 1.0, 1.3]),
    frequency_penalty=st.sampled_from([0.0, 1.5]),
    presence_penalty=st.sampled_from([0.0, -1.0]),
)
DECODINGS = st.builds(
    Decoding,
    SAMPLINGS,
    logprobs=st.sampled_from([None, 0, 5, 20]),
    logit_bias=st.dictionaries(st.integers(0, 261), st.floats(-100, 100), max_size=4),
)
STREAMS = st.lists(st.tuples(DECODINGS, st.lists(st.integers(0, 300), max_size=5)), min_size=1, max_size=9)


def choices(streams: list[tuple[Decoding, list[int]]]) -> list[TokenChoice]:
    return [TokenChoice(decoding, prompt) for decoding, prompt in streams]


def noise(rows: int, width: int, seed: int, step: float) -> torch.Tensor:
    """Scores of which some are alike, by steps."""
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3
    return drawn.div(step).round().mul(step)


@given(STREAMS, st.sampled_from(WIDTHS), st.integers(0, 99), st.sampled_from([0.5, 1e-6]))
@settings(max_examples=60, deadline=None)
def test_a_row_alone_is_what_it_is_in_company(
    streams: list[tuple[Decoding, list[int]]], width: int, seed: int, step: float
) -> None:
    together, alone = choices(streams), choices(streams)
    for number in range(3):
        logits = noise(len(streams), width, seed + number, step)
        expected = [choose([choice], logits[row : row + 1])[0] for row, choice in enumerate(alone)]
        assert choose(together, logits) == expected
        assert all(isinstance(chosen, Chosen) for chosen in expected)


@given(STREAMS, st.sampled_from(WIDTHS), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rows_that_are_named_are_chosen_from_as_if_there_were_no_others(
    streams: list[tuple[Decoding, list[int]]], width: int, seed: int
) -> None:
    logits = noise(2 * len(streams), width, seed, 1e-6)
    rows = [2 * len(streams) - 1 - 2 * at for at in range(len(streams))]
    assert choose(choices(streams), logits, rows) == choose(choices(streams), logits[rows])


GREEDY = {"temperature": 0}


@pytest.mark.parametrize(
    ("setting", "more", "is_bare"),
    [
        (GREEDY, {}, True),
        ({"temperature": 0.1}, {}, False),
        ({**GREEDY, "repetition_penalty": 1.1}, {}, False),
        ({**GREEDY, "frequency_penalty": 0.1}, {}, False),
        ({**GREEDY, "presence_penalty": -0.1}, {}, False),
        (GREEDY, {"logit_bias": {3: 1.0}}, False),
        (GREEDY, {"logprobs": 0}, False),
    ],
)
def test_only_what_nothing_else_matters_to_is_bare(
    setting: dict[str, Any], more: dict[str, Any], is_bare: bool
) -> None:
    assert TokenChoice(Decoding(Sampling(5, **setting), **more), []).bare is is_bare


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("number", [float("nan"), -float("inf")])
def test_the_likeliest_tokens_are_those_that_bare_choices_take(number: float, dtype: torch.dtype) -> None:
    logits = noise(4, 4096, 5, 0.5).to(dtype)
    logits[2] = number
    found = [as_chosen(token) for token in likeliest(logits)]
    chosen = choose(choices([(Decoding(Sampling(5, **GREEDY)), [1])] * 4), logits)
    assert [isinstance(each, InferenceFailed) for each in found] == [False, False, True, False]
    assert isinstance(chosen[2], InferenceFailed)
    assert [*found[:2], found[3]] == [*chosen[:2], chosen[3]]


def test_more_rows_than_are_copied_at_once_are_each_what_they_are_alone() -> None:
    logits = noise(120, 49_152, 1, 1e-6)
    assert rows_at_once(logits) < len(logits)
    streams = [(Decoding(Sampling(1, temperature=row % 3, seed=row)), [row]) for row in range(len(logits))]
    expected = [choose(choices([stream]), logits[row : row + 1])[0] for row, stream in enumerate(streams)]
    assert choose(choices(streams), logits) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_narrow_numbers_are_computed_with_as_wide_ones(dtype: torch.dtype, temperature: float) -> None:
    logits = noise(4, 4096, 3, 1e-6).to(dtype)
    how = Decoding(Sampling(5, temperature=temperature, top_p=0.9, repetition_penalty=1.2), logprobs=3)
    streams = [(how, [1, 2])] * 4
    assert choose(choices(streams), logits) == choose(choices(streams), logits.float())


@pytest.mark.parametrize("number", [float("nan"), -float("inf")])
@pytest.mark.parametrize("setting", [{"temperature": 0}, {}, {"top_k": 3}, {"repetition_penalty": 2, "temperature": 0}])
def test_impossible_logits_end_their_stream_and_no_other(number: float, setting: dict[str, Any]) -> None:
    logits = noise(3, 4096, 4, 1e-6)
    logits[1] = number
    first, impossible, last = choose(choices([(Decoding(Sampling(5, **setting)), [1])] * 3), logits)
    assert isinstance(impossible, InferenceFailed)
    assert not isinstance(first, GatewayError)
    assert not isinstance(last, GatewayError)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_repetition_penalty_of_zero_takes_what_was_there(temperature: float) -> None:
    logits = torch.arange(300.0)[None] - 150
    logits[0, 7] = -torch.inf
    (chosen,) = choose(
        choices([(Decoding(Sampling(5, temperature=temperature, repetition_penalty=0)), [7, 200, 201])]), logits
    )
    assert isinstance(chosen, Chosen)
    assert chosen.token == 201


def test_edits_are_the_bias_then_repetition_then_what_was_written() -> None:
    chance = random.Random(2)
    scores = noise(2, 300, 5, 1e-6)
    sampling = Sampling(5, repetition_penalty=1.7, frequency_penalty=0.4, presence_penalty=-0.3)
    prompt, bias = [chance.randrange(400) for _ in range(150)], {5: 3.0, 60: -2.0, 299: 50.0}
    edits, written = ScoreEdits(sampling, bias, prompt), [chance.randrange(300) for _ in range(200)]
    for token in written:
        edits.took(token)
    expected = scores[0].clone()
    for token, value in bias.items():
        expected[token] += value
    for token in {*prompt, *written} & set(range(300)):
        expected[token] *= 1.7 if expected[token] < 0 else 1 / 1.7
    for token, count in Counter(written).items():
        expected[token] -= 0.4 * count - 0.3
    untouched = scores[1].clone()
    edit(scores, [edits, ScoreEdits(Sampling(5), {}, prompt)], 300)
    assert torch.allclose(scores[0], expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(scores[1], untouched)
