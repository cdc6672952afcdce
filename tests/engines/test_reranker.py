"""The reranker gives what sentence-transformers gives, whatever shares the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from gateway.config import ConfigError, ModelSpec
from gateway.engines.reranker import Engine
from gateway.tasks import TASKS
from tests import tiny, tiny_text

TASK = TASKS.get("reranking")
TOLERANCE = {"float32": 1e-5, "bfloat16": 5e-2}


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="reranker", **fields), TASK, files)


def body(query: str, texts: list[str], **more: Any) -> dict[str, Any]:
    return {"query": query, "contexts": [{"text": text} for text in texts], **more}


def rank(engine: Engine, *bodies: dict[str, Any]) -> list[list[tuple[int, float]]]:
    outputs = engine.run([TASK.parse(body) for body in bodies])
    return [[(item.id, item.score) for item in output.response] for output in outputs]


def reference(files: Path, query: str, texts: list[str]) -> list[tuple[int, float]]:
    model = CrossEncoder(str(files), device="cpu", local_files_only=True, activation_fn=torch.nn.Sigmoid())
    return [(int(item["corpus_id"]), float(item["score"])) for item in model.rank(query, texts)]


def assert_same(found: list[tuple[int, float]], expected: list[tuple[int, float]], dtype: str = "float32") -> None:
    if dtype == "float32":
        assert [index for index, _ in found] == [index for index, _ in expected]
    scores, wanted = (np.array([score for _, score in sorted(ranking)]) for ranking in (found, expected))
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE[dtype])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text.cross_encoder(tmp_path_factory.mktemp("reranker") / "model")


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "electra"])
@pytest.mark.parametrize("query", ["a b c", "x " * 40])
def test_order_and_scores_equal_the_librarys(kind: str, query: str, tmp_path: Path) -> None:
    files, texts = tiny_text.cross_encoder(tmp_path / kind, kind), tiny.words(40, 40)
    found = rank(engine(files), body(query, texts))[0]
    assert np.ptp([score for _, score in found]) > 0.05, "scores too alike to tell an order"
    assert_same(found, reference(files, query, texts))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_of_one_equals_a_batch_of_many(folder: Path, dtype: str) -> None:
    loaded, texts = engine(folder, dtype=dtype), tiny.words(50, 40)
    together = rank(loaded, body("a b", texts))[0]
    alone = [(index, rank(loaded, body("a b", [text]))[0][0][1]) for index, text in enumerate(texts)]
    assert_same(together, sorted(alone, key=lambda item: -item[1]), dtype)


def test_requests_in_one_batch_are_ranked_apart(folder: Path) -> None:
    texts = tiny.words(30, 40)
    bodies = [("a b", texts[:1]), ("q r s t", texts[1:20]), ("z", texts[20:])]
    found = rank(engine(folder), *(body(query, part) for query, part in bodies))
    for ranking, (query, part) in zip(found, bodies, strict=True):
        assert_same(ranking, reference(folder, query, part))


def test_top_k_keeps_the_best(folder: Path) -> None:
    loaded, texts = engine(folder), tiny.words(9, 40)
    everything, best, more = rank(loaded, body("a", texts), body("a", texts, top_k=2), body("a", texts, top_k=50))
    assert_same(best, everything[:2])
    assert_same(more, everything)


def test_equal_contexts_keep_their_order(folder: Path) -> None:
    assert [index for index, _ in rank(engine(folder), body("a", ["b"] * 4))[0]] == [0, 1, 2, 3]


@pytest.mark.parametrize("text", [" ", "\x00", "日本", "a" * 300, "b " * 20_000])
def test_odd_contexts_equal_the_librarys(folder: Path, text: str) -> None:
    assert_same(rank(engine(folder), body("a b", [text, "c"]))[0], reference(folder, "a b", [text, "c"]))


def test_usage_counts_the_tokens_that_were_read(folder: Path) -> None:
    inputs = [TASK.parse(body("a", ["b", "c d"])), TASK.parse(body("a", ["b " * 100]))]
    outputs = engine(folder).run(inputs)
    # [CLS] a [SEP] b [SEP], and one more for the second letter of `c d`.
    assert [output.usage.prompt_tokens for output in outputs] == [5 + 6, tiny.WINDOW]


def test_a_context_window_in_the_row_shortens_contexts(folder: Path) -> None:
    long, short = engine(folder, context_window=7).run(
        [TASK.parse(body("q", ["a b c d e f g h i j"])), TASK.parse(body("q", ["a b c"]))]
    )
    assert long.usage.prompt_tokens == 7
    assert long.response[0].score == pytest.approx(short.response[0].score, abs=1e-6)


def test_a_classifier_with_several_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a sequence classifier with one label"):
        engine(tiny_text.cross_encoder(tmp_path / "model", labels=3))


def test_an_option_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"options of this engine: none"):
        engine(folder, options={"normalize": True})
