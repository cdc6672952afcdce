"""The embedder answers bge-m3, EmbeddingGemma and Qwen3-Embedding as sentence-transformers does, with their prompts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from gateway.config import ConfigError, ModelSpec
from gateway.engines.embedder import Engine
from gateway.errors import BadInput, InputTooLong
from gateway.tasks import TASKS
from tests import tiny, tiny_text

TOLERANCE = 1e-5
WINDOW = tiny_text.EMBED_WINDOW


def engine(files: Path, shape: str, **fields: Any) -> Engine:
    task = TASKS.get("text-embeddings", shape)
    spec = ModelSpec(
        name="@local/x", task=task.name, shape=shape, engine="embedder", dtype="float32", device="cpu", **fields
    )
    return Engine(spec, task, files)


def run(engine: Engine, *bodies: dict[str, Any]) -> list[Any]:
    """What the task makes of the engine's outputs, arrays still arrays; errors as they are."""
    outputs = engine.run([engine.task.parse(body) for body in bodies])
    return [output if isinstance(output, Exception) else engine.task.render(output) for output in outputs]


def contexts(texts: list[str]) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def library(files: Path) -> SentenceTransformer:
    return SentenceTransformer(str(files), device="cpu", local_files_only=True)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("embedders")
    return {
        like: tiny_text.embedder(root / like, like, None if like == "bge-m3" else tiny_text.PROMPTS)
        for like in tiny_text.EMBEDDERS
    }


@pytest.mark.parametrize("like", tiny_text.EMBEDDERS)
def test_texts_equal_the_librarys(folders: dict[str, Path], like: str) -> None:
    texts = tiny.words(20, 100)
    body = {"text": texts, "truncate_inputs": True}
    (answer,) = run(engine(folders[like], like), body)
    assert answer["shape"] == [20, 32]
    assert answer.get("pooling") == ("cls" if like == "bge-m3" else None)
    model = library(folders[like])
    encode = model.encode_document if like == "qwen3-embedding" else model.encode
    assert_close(answer["data"], encode(texts))


@pytest.mark.parametrize("like", tiny_text.EMBEDDERS)
def test_a_batch_of_one_equals_a_batch_of_a_hundred(folders: dict[str, Path], like: str) -> None:
    loaded, texts = engine(folders[like], like), tiny.words(100, 100)
    (together,) = run(loaded, {"text": texts, "truncate_inputs": True})
    alone = [run(loaded, {"text": text, "truncate_inputs": True})[0]["data"][0] for text in texts]
    assert_close(together["data"], alone)


def test_a_default_prompt_of_the_folder_counts(tmp_path: Path) -> None:
    files = tiny_text.embedder(tmp_path, "embeddinggemma", tiny_text.PROMPTS, default="document")
    (answer,) = run(engine(files, "embeddinggemma"), {"text": ["a b", "c"]})
    assert_close(answer["data"], library(files).encode(["a b", "c"]))
    assert_close(answer["data"], library(files).encode(["a b", "c"], prompt=tiny_text.PROMPTS["document"]))


def test_the_form_of_plamo_is_for_any_embedder(folders: dict[str, Path]) -> None:
    files, texts = folders["bge-m3"], tiny.words(3, 20)
    many, one = run(engine(files, "plamo-embedding"), {"text": texts}, {"text": texts[0]})
    assert list(many) == ["data", "shape", "usage"]
    assert_close(many["data"], library(files).encode(texts))
    assert_close(one["data"], [many["data"][0]])
    assert (many["shape"], one["shape"]) == ([3, tiny_text.WIDTH], [1, tiny_text.WIDTH])


@pytest.mark.parametrize("shape", ["plamo-embedding", "embeddinggemma"])
def test_an_empty_text_has_a_vector_where_the_form_has_no_bound(folders: dict[str, Path], shape: str) -> None:
    files = folders["bge-m3"]
    (answer,) = run(engine(files, shape), {"text": ["a b", ""]})
    assert_close(answer["data"], library(files).encode(["a b", ""]))
    assert isinstance(run(engine(files, shape), {"text": ""})[0]["data"], np.ndarray)


def test_an_empty_text_without_a_token_is_refused_and_spares_its_neighbours(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    files = shutil.copytree(folders["bge-m3"], tmp_path / "model")
    tokenizer = json.loads((files / "tokenizer.json").read_text())
    (files / "tokenizer.json").write_text(json.dumps(tokenizer | {"post_processor": None}))
    bad, good = run(engine(files, "plamo-embedding"), {"text": ["a", ""]}, {"text": "a"})
    assert isinstance(bad, BadInput)
    assert good["shape"] == [1, tiny_text.WIDTH]


def test_qwen_prompts_follow_the_kind_of_text(folders: dict[str, Path]) -> None:
    model, loaded = library(folders["qwen3-embedding"]), engine(folders["qwen3-embedding"], "qwen3-embedding")
    texts, wish = tiny.words(6, 30), {"instruction": "f i n d"}
    prompt = "Instruct: f i n d\nQuery:"
    answers = run(
        loaded,
        {"queries": texts},
        {"documents": texts},
        {"queries": texts, **wish},
        {"documents": texts, **wish},
        {"text": texts, **wish},
        {"queries": texts[0], "documents": texts[1:3], "text": texts[3]},
    )
    asked, stored = model.encode_query(texts), model.encode_document(texts)
    instructed = model.encode(texts, prompt=prompt)
    mixed = np.concatenate([asked[:1], stored[1:3], stored[3:4]])
    for answer, expected in zip(answers, (asked, stored, instructed, stored, stored, mixed), strict=True):
        assert_close(answer["data"], expected)
        assert answer["shape"] == list(expected.shape)
    assert np.abs(asked - stored).max() > 0.1


def test_bge_m3_ranks_contexts_for_a_query(folders: dict[str, Path]) -> None:
    model, texts = library(folders["bge-m3"]), tiny.words(20, 50)
    (answer,) = run(engine(folders["bge-m3"], "bge-m3"), {"query": "a b c", "contexts": contexts(texts)})
    expected = model.similarity(model.encode_query(["a b c"]), model.encode_document(texts))[0].numpy()
    assert list(answer) == ["response", "usage"]
    assert [item.id for item in answer["response"]] == list(np.argsort(-expected, kind="stable"))
    assert_close([item.score for item in answer["response"]], np.sort(expected)[::-1])


def test_bge_m3_embeds_contexts_without_a_query(folders: dict[str, Path]) -> None:
    texts = tiny.words(5, 50)
    (answer,) = run(engine(folders["bge-m3"], "bge-m3"), {"contexts": contexts(texts)})
    assert list(answer) == ["response", "shape", "pooling", "usage"]
    assert (answer["shape"], answer["pooling"]) == ([5, 32], "cls")
    assert_close(answer["response"], library(folders["bge-m3"]).encode(texts))


def test_bge_m3_refuses_what_is_too_long_and_spares_its_neighbours(folders: dict[str, Path]) -> None:
    fits, long = "a " * (WINDOW - 2), "a " * (WINDOW - 1)
    outputs = run(
        engine(folders["bge-m3"], "bge-m3"),
        {"text": ["b", long]},
        {"text": fits},
        {"text": long, "truncate_inputs": True},
        {"query": "b", "contexts": contexts(["c", "a " * 200])},
    )
    for error, tokens in ((outputs[0], WINDOW + 1), (outputs[3], 202)):
        assert isinstance(error, InputTooLong)
        expected = f"AiError: Max context reached {tokens} tokens but model supports only {WINDOW} (id)"
        assert error.message("id") == expected
    assert_close(outputs[1]["data"], outputs[2]["data"])


def test_forms_and_poolings_share_a_batch(folders: dict[str, Path]) -> None:
    loaded, texts = engine(folders["bge-m3"], "bge-m3"), tiny.words(12, 50)
    bodies = [{"text": texts[:3]}, {"query": texts[3], "contexts": contexts(texts[4:9])}, {"text": texts[9:]}]
    together = run(loaded, *bodies)
    for answer, body in zip(together, bodies, strict=True):
        (alone,) = run(loaded, body)
        assert list(answer) == list(alone)
        if "data" in answer:
            assert_close(answer["data"], alone["data"])
        else:
            assert [item.id for item in answer["response"]] == [item.id for item in alone["response"]]


def test_usage_counts_prompts_too(folders: dict[str, Path]) -> None:
    task = TASKS.get("text-embeddings", "qwen3-embedding")
    (output,) = engine(folders["qwen3-embedding"], "qwen3-embedding").run([task.parse({"queries": "a"})])
    assert output.usage.prompt_tokens == len(tiny_text.PROMPTS["query"].split()) + len("a") + 1


def test_a_pooling_that_is_not_known_is_refused(tmp_path: Path) -> None:
    files = tiny_text.embedder(tmp_path, "bge-m3")
    (files / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 32, "pooling_mode": "max"}')
    with pytest.raises(ConfigError, match="1_Pooling: one of mean, cls, lasttoken"):
        engine(files, "bge-m3")
