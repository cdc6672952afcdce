"""The classifier gives what transformers gives, and heads are checked before they are used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from gateway.config import ConfigError, ModelSpec
from gateway.engines.classifier import Engine, Headed
from gateway.engines.encoding import Encoder
from gateway.engines.head import Head, load_head
from gateway.engines.precision import Precision
from gateway.tasks import TASKS
from tests import tiny

TASK = TASKS.get("text-classification")
LABELS = ("NEGATIVE", "POSITIVE")


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="classifier", **fields), TASK, files)


def classify(engine: Engine, texts: list[str]) -> list[dict[str, float]]:
    outputs = engine.run([TASK.parse({"text": text}) for text in texts])
    return [{label.label: label.score for label in output.root} for output in outputs]


def scores(answers: list[dict[str, float]]) -> np.ndarray:
    return np.array([list(answer.values()) for answer in answers])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sequence_classifier(tmp_path_factory.mktemp("classifier") / "model", LABELS)


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
@pytest.mark.parametrize("labels", [("NEGATIVE", "POSITIVE"), ("z", "a", "m")])
def test_labels_and_scores_equal_the_librarys(kind: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    files, texts = tiny.sequence_classifier(tmp_path / "model", labels, kind), tiny.words(20)
    answers = classify(engine(files), texts)
    assert all(tuple(answer) == labels for answer in answers)
    direct = pipeline("text-classification", model=str(files), device="cpu", dtype=torch.float32)
    expected = [
        {row["label"]: row["score"] for row in rows}
        for rows in direct(texts, top_k=None, truncation=True, function_to_apply="softmax")
    ]
    np.testing.assert_allclose(scores(answers), [[row[label] for label in labels] for row in expected], atol=1e-5)


def test_weights_without_a_head_are_refused_rather_than_guessed(tmp_path: Path) -> None:
    files = tiny.sequence_classifier(tmp_path / "model", LABELS, "bert")
    tiny.behead(files, "classifier")
    with pytest.raises(ConfigError, match=r"the weights do not fit the model: classifier\.bias is missing \(2 in"):
        engine(files)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 5e-2)])
def test_a_batch_of_one_equals_a_batch_of_a_hundred(folder: Path, dtype: str, tolerance: float) -> None:
    loaded, texts = engine(folder, dtype=dtype), tiny.words(100)
    alone = [classify(loaded, [text])[0] for text in texts]
    np.testing.assert_allclose(scores(classify(loaded, texts)), scores(alone), atol=tolerance)


@pytest.mark.parametrize("text", [" ", "日本", "b " * 20_000])
def test_odd_texts_are_classified(folder: Path, text: str) -> None:
    assert sum(classify(engine(folder), [text])[0].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("field", ["heads", "normalize"])
def test_an_unknown_option_is_named(folder: Path, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"row @local/x: options\.{field}: .*options of this engine: head"):
        engine(folder, options={field: "x"})


def head(**fields: Any) -> dict[str, Any]:
    whole = {"labels": LABELS, "pooling": "mean", "normalize": True, "weight": [[0.5] * 32], "bias": [0.1]}
    return whole | fields


@pytest.mark.parametrize(
    ("fields", "rows"),
    [({}, 1), ({"labels": ["a", "b", "c"], "weight": np.eye(3, 32).tolist(), "bias": [0.0, 1.0, 2.0]}, 3)],
)
def test_a_head_turns_vectors_into_probabilities(tmp_path: Path, fields: dict[str, Any], rows: int) -> None:
    files, texts = tiny.sentence_encoder(tmp_path / "model"), tiny.words(10)
    encoder, given = Encoder(files, Precision("cpu", "float32")), Head.model_validate(head(**fields))
    vectors = torch.tensor(encoder.encode(encoder.tokenize(texts), ["mean"] * len(texts)), dtype=torch.float64)
    logits = vectors @ torch.tensor(given.weight, dtype=torch.float64).T + torch.tensor(given.bias)
    expected = logits.softmax(-1) if rows > 1 else torch.cat([1 - logits.sigmoid(), logits.sigmoid()], dim=1)
    np.testing.assert_allclose(Headed(encoder, given).judge(texts)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ["one"]}, "labels"),
        ({"labels": ["a", "b", "c"]}, "weight has 1 rows for 3 labels"),
        ({"bias": [0.1, 0.2]}, "bias has 2 values for 1 rows"),
        ({"labels": ["a", "b"], "weight": [[1.0, 2.0], [1.0]], "bias": [0, 0]}, "differ in length"),
        ({"weight": [["x"]]}, "weight.0.0"),
        ({"wieght": []}, "wieght"),
    ],
)
def test_a_faulty_head_file_is_refused_with_its_fault(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(head(**fields)))
    with pytest.raises(ConfigError, match=rf"options\.head: mine: .*{message}"):
        load_head("mine", tmp_path)


@pytest.mark.parametrize("name", ["minilm", "../heads/minilm-sentiment", ""])
def test_an_unknown_head_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=r"there are: .*minilm-sentiment"):
        load_head(name)


def test_a_head_for_other_vectors_is_refused(tmp_path: Path) -> None:
    files = tiny.sentence_encoder(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"reads 384 dimensions, the encoder gives 32"):
        engine(files, options={"head": "minilm-sentiment"})


def test_the_shipped_head_says_where_it_comes_from() -> None:
    shipped = load_head("minilm-sentiment")
    assert shipped.labels == LABELS
    assert shipped.dimensions == 384
    assert {"data", "data_license", "embedding_model", "cross_validation"} <= set(shipped.provenance)
