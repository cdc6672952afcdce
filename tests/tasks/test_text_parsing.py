"""The bounds of the text tasks besides classification and generation, and the words in which they are enforced."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.tasks import TASKS, Task

RERANK = TASKS.get("reranking")
PAIR = {"query": "q", "contexts": [{"text": "a"}]}


@pytest.mark.parametrize(
    ("task", "body", "detail"),
    [
        (RERANK, {}, "required properties at '/' are 'query,contexts'"),
        (RERANK, {"contexts": [{"text": "a"}]}, "required properties at '/' are 'query'"),
        (RERANK, PAIR | {"query": ""}, "Length of '/query' must be >= 1"),
        (RERANK, PAIR | {"query": ["q"]}, "Type mismatch of '/query', 'array' not in 'string'"),
        (RERANK, PAIR | {"contexts": []}, "Length of '/contexts' must be >= 1"),
        (RERANK, PAIR | {"contexts": [{"text": "a"}] * 3001}, "Length of '/contexts' must be <= 3000"),
        (RERANK, PAIR | {"contexts": ["a"]}, "Type mismatch of '/contexts/0', 'string' not in 'object'"),
        (RERANK, PAIR | {"contexts": [{"text": "a"}, {}]}, "required properties at '/contexts/1' are 'text'"),
        (RERANK, PAIR | {"top_k": 0}, "'/top_k' must be >= 1"),
        (RERANK, PAIR | {"top_k": "3"}, "Type mismatch of '/top_k', 'string' not in 'integer'"),
    ],
)
def test_what_does_not_fit_is_named(task: Task, body: Any, detail: str) -> None:
    with pytest.raises(BadInput) as found:
        task.parse(body)
    assert found.value.detail == detail


@pytest.mark.parametrize(
    ("task", "body"),
    [
        (RERANK, PAIR | {"contexts": [{"text": "", "title": "x"}], "top_k": 2.0, "stream": False}),
    ],
)
def test_what_clients_send_is_accepted(task: Task, body: Any) -> None:
    input = task.parse(body)
    assert task.input.model_validate(input.model_dump(exclude_unset=True)) == input
