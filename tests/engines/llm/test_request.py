"""What a request asks for, as numbers: the sampling it means and the output it has room for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engines.llm.context import output_budget
from gateway.engines.llm.sampling import Sampling, sampling_of
from gateway.errors import ContextExceeded
from gateway.tasks.generation import Generation
from gateway.tasks.text_generation import TextGenerationInput


def request(**body: Any) -> Generation:
    return TextGenerationInput.model_validate({"prompt": "x"} | body).generation()


@pytest.mark.parametrize(
    ("body", "sampling"),
    [
        ({"temperature": 0}, Sampling(9, temperature=0, seed=1)),
        ({"temperature": 1e-9}, Sampling(9, temperature=0, seed=1)),
        ({}, Sampling(9, temperature=0.6, seed=1)),
        ({"temperature": 5, "top_p": 0.001, "top_k": 50}, Sampling(9, temperature=5, top_p=0.001, top_k=50, seed=1)),
        ({"repetition_penalty": 0}, Sampling(9, temperature=0.6, seed=1)),
        (
            {"repetition_penalty": 2, "frequency_penalty": -2, "presence_penalty": 2},
            Sampling(9, 0.6, seed=1, repetition_penalty=2, frequency_penalty=-2, presence_penalty=2),
        ),
    ],
)
def test_sampling_of_a_request(body: dict[str, Any], sampling: Sampling) -> None:
    assert sampling_of(request(seed=1, **body), 9) == sampling


def test_requests_without_a_seed_differ() -> None:
    assert len({sampling_of(request(), 9).seed for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("prompt_tokens", "body", "budget"),
    [
        (10, {"max_tokens": 90}, 90),
        (10, {}, 90),
        (99, {}, 1),
        (10, {"max_tokens": 1}, 1),
    ],
)
def test_output_that_fits(prompt_tokens: int, body: dict[str, Any], budget: int) -> None:
    assert output_budget(prompt_tokens, request(**body), 100) == budget


@pytest.mark.parametrize(
    ("prompt_tokens", "body", "wanted"),
    [
        (10, {"max_tokens": 91}, 101),
        (10, {"max_tokens": 256}, 266),
        (100, {}, 356),
        (100, {"max_tokens": 1}, 101),
    ],
)
def test_output_that_does_not_fit(prompt_tokens: int, body: dict[str, Any], wanted: int) -> None:
    with pytest.raises(ContextExceeded, match=rf"\({wanted}\).*\(100\)"):
        output_budget(prompt_tokens, request(**body), 100)
