"""The bounds of the text tasks besides classification and generation, and the words in which they are enforced."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.tasks import TASKS, Task
from gateway.tasks.languages import M2M100

RERANK = TASKS.get("reranking")
BGE_M3 = TASKS.get("text-embeddings", "bge-m3")
GEMMA = TASKS.get("text-embeddings", "embeddinggemma")
PLAMO = TASKS.get("text-embeddings", "plamo-embedding")
QWEN = TASKS.get("text-embeddings", "qwen3-embedding")
TRANSLATE = TASKS.get("translation")
SUMMARIZE = TASKS.get("summarization")
LANGUAGES = f"must be one of {', '.join(M2M100)}, or the language's English name"
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
        (RERANK, PAIR | {"contexts": [{"text": ""}]}, "Length of '/contexts/0/text' must be >= 1"),
        (RERANK, PAIR | {"top_k": 0}, "'/top_k' must be >= 1"),
        (RERANK, PAIR | {"top_k": "3"}, "Type mismatch of '/top_k', 'string' not in 'integer'"),
        (PLAMO, {}, "required properties at '/' are 'text'"),
        (PLAMO, {"text": [1]}, "Type mismatch of '/text/0', 'integer' not in 'string'"),
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
        (GEMMA, {"text": []}, "Length of '/text' must be >= 1"),
        (
            QWEN,
            {"instruction": "x"},
            "anyOf at '/' not met, 0 matches: required properties at '/' are 'text', "
            "required properties at '/' are 'queries', required properties at '/' are 'documents'",
        ),
        (QWEN, {"queries": ["a", 1]}, "Type mismatch of '/queries/1', 'integer' not in 'string'"),
        (QWEN, {"documents": ["a"] * 3001}, "Length of '/documents' must be <= 3000"),
        (QWEN, {"text": "a", "instruction": ["x"]}, "Type mismatch of '/instruction', 'array' not in 'string'"),
        (TRANSLATE, {"source_lang": "en"}, "required properties at '/' are 'text,target_lang'"),
        (TRANSLATE, {"text": "", "target_lang": "fr"}, "Length of '/text' must be >= 1"),
        (TRANSLATE, {"text": ["a"], "target_lang": "fr"}, "Type mismatch of '/text', 'array' not in 'string'"),
        (TRANSLATE, {"text": "a", "target_lang": "klingon"}, f"'/target_lang': {LANGUAGES}"),
        (TRANSLATE, {"text": "a", "target_lang": ""}, f"'/target_lang': {LANGUAGES}"),
        (TRANSLATE, {"text": "a", "target_lang": "fr", "source_lang": "xx"}, f"'/source_lang': {LANGUAGES}"),
        (TRANSLATE, {"text": "a", "target_lang": 5}, "Type mismatch of '/target_lang', 'integer' not in 'string'"),
        (SUMMARIZE, {}, "required properties at '/' are 'input_text'"),
        (SUMMARIZE, {"input_text": ""}, "Length of '/input_text' must be >= 1"),
        (SUMMARIZE, {"input_text": "a", "max_length": 0}, "'/max_length' must be >= 1"),
        (
            SUMMARIZE,
            {"input_text": "a", "max_length": "9"},
            "Type mismatch of '/max_length', 'string' not in 'integer'",
        ),
    ],
)
def test_what_does_not_fit_is_named(task: Task, body: Any, detail: str) -> None:
    with pytest.raises(BadInput) as found:
        task.parse(body)
    assert found.value.detail == detail


@pytest.mark.parametrize(
    ("task", "body"),
    [
        (RERANK, PAIR | {"contexts": [{"text": "a", "title": "x"}], "top_k": 2.0, "stream": False}),
        (BGE_M3, {"text": "a", "truncate_inputs": "true", "pooling": "mean"}),
        (BGE_M3, PAIR | {"text": ["a", "b"]}),
        (QWEN, {"queries": "a", "documents": ["b"], "text": None, "instruction": "find"}),
        (TRANSLATE, {"text": "a", "target_lang": "Haitian Creole", "source_lang": " EN "}),
        (SUMMARIZE, {"input_text": "a", "max_length": 64.0}),
    ],
)
def test_what_clients_send_is_accepted(task: Task, body: Any) -> None:
    input = task.parse(body)
    assert task.input.model_validate(input.model_dump(exclude_unset=True)) == input


@pytest.mark.parametrize(
    ("language", "code"),
    [("fr", "fr"), ("FR", "fr"), ("french", "fr"), ("Chinese", "zh"), ("Castilian", "es"), ("Haitian Creole", "ht")],
)
def test_languages_come_as_codes_or_english_names(language: str, code: str) -> None:
    assert TRANSLATE.parse({"text": "a", "target_lang": language}).target_lang == code


def test_the_source_language_is_english_by_default() -> None:
    assert TRANSLATE.parse({"text": "a", "target_lang": "fr", "source_lang": None}).source_lang == "en"


def test_the_languages_are_those_of_m2m100() -> None:
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    assert list(M2M100) == FAIRSEQ_LANGUAGE_CODES["m2m100"]
    names = [name for names in M2M100.values() for name in names]
    assert len(set(names)) == len(names)
