"""The embedder gives what sentence-transformers gives, whatever shares the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from gateway.config import ConfigError, ModelSpec
from gateway.engines.embedder import Engine
from gateway.tasks import TASKS
from tests import tiny

TASK = TASKS.get("text-embeddings")
TOLERANCE = {"float32": 1e-5, "bfloat16": 4e-2}


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="embedder", **fields), TASK, files)


def embed(engine: Engine, *bodies: dict[str, Any]) -> list[Any]:
    return list(engine.run([TASK.parse(body) for body in bodies]))


def reference(files: Path, texts: list[str], pooling: str = "mean") -> np.ndarray:
    model = SentenceTransformer(str(files), device="cpu", local_files_only=True)
    model[1].pooling_mode = pooling
    return model.encode(texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sentence_encoder(tmp_path_factory.mktemp("bert") / "model")


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "distilbert", "electra"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_equal_the_librarys(kind: str, pooling: str, tmp_path: Path) -> None:
    files, texts = tiny.sentence_encoder(tmp_path / kind, kind), tiny.words(40)
    output = embed(engine(files), {"text": texts, "pooling": pooling})[0]
    assert output.data.dtype == np.float32
    assert output.shape == [40, 32]
    np.testing.assert_allclose(output.data, reference(files, texts, pooling), atol=TOLERANCE["float32"])


def test_bfloat16_stays_close_to_float32(folder: Path) -> None:
    texts = tiny.words(40)
    output = embed(engine(folder, dtype="bfloat16"), {"text": texts})[0]
    np.testing.assert_allclose(output.data, reference(folder, texts), atol=TOLERANCE["bfloat16"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_of_one_equals_a_batch_of_a_hundred(folder: Path, dtype: str) -> None:
    loaded, texts = engine(folder, dtype=dtype), tiny.words(100)
    together = embed(loaded, {"text": texts})[0].data
    alone = np.concatenate([embed(loaded, {"text": text})[0].data for text in texts])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE[dtype])


def test_inputs_of_different_sizes_and_poolings_share_a_batch(folder: Path) -> None:
    texts = tiny.words(9)
    parts = [(texts[:1], "cls"), (texts[1:6], "mean"), (texts[6:], "cls")]
    outputs = embed(engine(folder), *({"text": part, "pooling": pooling} for part, pooling in parts))
    assert [output.pooling for output in outputs] == ["cls", "mean", "cls"]
    for output, (part, pooling) in zip(outputs, parts, strict=True):
        assert output.shape == [len(part), 32]
        np.testing.assert_allclose(output.data, reference(folder, part, pooling), atol=TOLERANCE["float32"])


@pytest.mark.parametrize("text", [" ", "\x00", "é", "日本", "a" * 300, "b " * 20_000])
def test_odd_texts_equal_the_librarys(folder: Path, text: str) -> None:
    output = embed(engine(folder), {"text": text})[0]
    np.testing.assert_allclose(output.data, reference(folder, [text]), atol=TOLERANCE["float32"])


def test_usage_counts_the_tokens_that_were_read(folder: Path) -> None:
    outputs = embed(engine(folder), {"text": ["a b c", "d"]}, {"text": "a " * 100})
    assert [output.usage.prompt_tokens for output in outputs] == [5 + 3, tiny.WINDOW]


def test_a_context_window_in_the_row_shortens_texts(folder: Path) -> None:
    long, short = embed(engine(folder, context_window=8), {"text": "a b c d e f g h i j"}, {"text": "a b c d e f"})
    assert long.usage.prompt_tokens == 8
    np.testing.assert_allclose(long.data, short.data, atol=TOLERANCE["float32"])


@pytest.mark.parametrize(
    ("of_model", "of_row", "expected"),
    [(True, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
def test_the_row_overrules_the_folder_on_length_one(
    tmp_path: Path, of_model: bool, of_row: bool | None, expected: bool
) -> None:
    files = tiny.sentence_encoder(tmp_path / "model", normalize=of_model)
    options = {} if of_row is None else {"normalize": of_row}
    norms = np.linalg.norm(embed(engine(files, options=options), {"text": tiny.words(5)})[0].data, axis=1)
    assert bool(np.allclose(norms, 1, atol=1e-5)) is expected


def test_an_unknown_option_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"row @local/x: options\.normalise: .*options of this engine: normalize"):
        engine(folder, options={"normalise": True})


def test_a_folder_without_pooling_is_refused(tmp_path: Path) -> None:
    files = tiny.sentence_encoder(tmp_path / "model")
    rows = json.loads((files / "modules.json").read_text())
    (files / "modules.json").write_text(json.dumps(rows[:1]))
    with pytest.raises(ConfigError, match=r"modules\.json: an encoder followed by pooling is expected"):
        engine(files)
