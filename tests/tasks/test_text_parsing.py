"""The bounds of the text tasks besides classification and generation, and the words in which they are enforced."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.tasks import TASKS, Task

RERANK = TASKS.get("reranking")
BGE_M3 = TASKS.get("text-embeddings", "bge-m3")
GEMMA = TASKS.get("text-embeddings", "embeddinggemma")
QWEN = TASKS.get("text-embeddings", "qwen3-embedding")
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
        (
            BGE_M3,
            {"query": "q"},
            "anyOf at '/' not met, 0 matches: "
            "required properties at '/' are 'contexts', required properties at '/' are 'text'",
        ),
        (BGE_M3, PAIR | {"query": ""}, "Length of '/query' must be >= 1"),
        (BGE_M3, {"contexts": [{"title": "a"}]}, "required properties at '/contexts/0' are 'text'"),
        (BGE_M3, {"text": []}, "Length of '/text' must be >= 1"),
        (
            BGE_M3,
            {"text": "a", "truncate_inputs": 1},
            "Type mismatch of '/truncate_inputs', 'integer' not in 'boolean'",
        ),
        (GEMMA, {}, "required properties at '/' are 'text'"),
        (GEMMA, {"text": [""]}, "Length of '/text/0' must be >= 1"),
        (
            QWEN,
            {"instruction": "x"},
            "anyOf at '/' not met, 0 matches: required properties at '/' are 'text', "
            "required properties at '/' are 'queries', required properties at '/' are 'documents'",
        ),
        (QWEN, {"queries": ["a", 1]}, "Type mismatch of '/queries/1', 'integer' not in 'string'"),
        (QWEN, {"documents": ["a"] * 3001}, "Length of '/documents' must be <= 3000"),
        (QWEN, {"text": "a", "instruction": ["x"]}, "Type mismatch of '/instruction', 'array' not in 'string'"),
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
        (BGE_M3, {"text": "a", "truncate_inputs": "true", "pooling": "mean"}),
        (BGE_M3, PAIR | {"text": ["a", "b"]}),
        (QWEN, {"queries": "a", "documents": ["b"], "text": None, "instruction": "find"}),
    ],
)
def test_what_clients_send_is_accepted(task: Task, body: Any) -> None:
    input = task.parse(body)
    assert task.input.model_validate(input.model_dump(exclude_unset=True)) == input
