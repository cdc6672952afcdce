"""Reranking, embedding forms, translation and summarization through the official client equal the libraries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudflare
import numpy as np
import pytest
import torch
from cloudflare import AsyncCloudflare, Cloudflare
from openai import BadRequestError, OpenAI
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

from tests import tiny, tiny_text
from tests.server import ACCOUNT, Server, gateway, write_models

TEXTS = ["a b c", "d", "e f g h i j k", "l m", "n o p q", "r " * 20]
RERANKER = "@cf/baai/bge-reranker-base"
TRANSLATOR = "@cf/meta/m2m100-1.2b"
SUMMARIZER = "@cf/facebook/bart-large-cnn"
CLASSIFIER = "@cf/huggingface/distilbert-sst-2-int8"
BGE = "@cf/baai/bge-small-en-v1.5"
INDIC = "@cf/ai4bharat/indictrans2-en-indic-1B"
LABELS = ("NEGATIVE", "POSITIVE")
EMBEDDERS = {
    "bge-m3": "@cf/baai/bge-m3",
    "embeddinggemma": "@cf/google/embeddinggemma-300m",
    "qwen3-embedding": "@cf/qwen/qwen3-embedding-0.6b",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny checkpoint of each model's architecture, by the model's name."""
    root = tmp_path_factory.mktemp("text")
    made = {EMBEDDERS[like]: tiny_text.embedder(root / like, like, tiny_text.PROMPTS) for like in EMBEDDERS}
    made[RERANKER] = tiny_text.cross_encoder(root / "reranker")
    made[TRANSLATOR] = tiny_text.translator(root / "translator")
    made[SUMMARIZER] = tiny_text.summarizer(root / "summarizer")
    made[CLASSIFIER] = tiny.sequence_classifier(root / "classifier", LABELS)
    made[BGE] = tiny.sentence_encoder(root / "bge")
    made[INDIC] = tiny_text.nllb(root / "nllb")
    return made


@pytest.fixture(scope="module")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    price = "properties: {price: [{unit: per M input tokens, price: 11.0}]}"  # one neuron a token
    kinds = {
        RERANKER: f"task: reranking, engine: reranker, {price}",
        TRANSLATOR: "task: translation, engine: translator",
    }
    kinds[SUMMARIZER] = "task: summarization, engine: summarizer"
    kinds[CLASSIFIER] = "task: text-classification, engine: classifier"
    kinds[BGE] = "task: text-embeddings, shape: bge, engine: embedder"
    kinds[INDIC] = "task: translation, shape: indictrans2, engine: translator"
    kinds |= {name: f"task: text-embeddings, shape: {like}, engine: embedder" for like, name in EMBEDDERS.items()}
    rows = [
        f"{{name: '{name}', {kinds[name]}, source: 'file:{files}', device: cpu, dtype: float32, threads: 1}}"
        for name, files in folders.items()
    ]
    home = tmp_path_factory.mktemp("home")
    with gateway("--models", str(write_models(home / "models.yaml", *rows)), "--home", str(home)) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client:
        yield client


def run(client: Cloudflare, model: str, **body: Any) -> Any:
    response = client.ai.with_raw_response.run(model, account_id=ACCOUNT, extra_body=body)
    return response.json()["result"]


async def run_all(server: Server, model: str, bodies: list[dict[str, Any]]) -> list[Any]:
    """The results of requests that are under way at the same time."""
    async with AsyncCloudflare(api_token="any", base_url=server.base_url, max_retries=0) as client:
        responses = await asyncio.gather(
            *(client.ai.with_raw_response.run(model, account_id=ACCOUNT, extra_body=body) for body in bodies)
        )
        return [(await response.json())["result"] for response in responses]


def told(result: dict[str, Any]) -> dict[str, Any]:
    """The result without its token counts, which have to add up."""
    usage = result.pop("usage")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    return result


def contexts(texts: list[str]) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def sentence_model(files: Path) -> SentenceTransformer:
    return SentenceTransformer(str(files), device="cpu", local_files_only=True)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(found), expected, atol=1e-4)


async def test_classification_equals_the_library(server: Server, folders: dict[str, Path]) -> None:
    classify = pipeline("text-classification", model=str(folders[CLASSIFIER]), device="cpu", top_k=None)
    results = await run_all(server, CLASSIFIER, [{"text": text} for text in TEXTS * 3])
    for text, labels in zip(TEXTS * 3, results, strict=True):
        expected = {found["label"]: found["score"] for found in classify([text], truncation=True)[0]}
        assert [item["label"] for item in labels] == list(LABELS)
        assert {item["label"]: item["score"] for item in labels} == pytest.approx(expected, abs=1e-4)


async def test_both_poolings_equal_the_library(server: Server, folders: dict[str, Path]) -> None:
    """Requests of both poolings, of one text and of many, are under way at once."""
    model = sentence_model(folders[BGE])
    bodies = [{"text": text, "pooling": pooling} for text in (TEXTS, *TEXTS) for pooling in ("mean", "cls")]
    mean, tokens = model.encode(TEXTS), model.encode(TEXTS, output_value="token_embeddings")
    first = np.array([vectors[0] / np.linalg.norm(vectors[0]) for vectors in tokens])
    expected = {"mean": mean, "cls": first}
    for body, result in zip(bodies, await run_all(server, BGE, bodies), strict=True):
        index = slice(None) if body["text"] == TEXTS else slice(TEXTS.index(str(body["text"])), None)
        vectors = expected[str(body["pooling"])][index][: len(result["data"])]
        assert (result["pooling"], result["shape"]) == (body["pooling"], [len(vectors), 32])
        assert_close(result["data"], vectors)


async def test_translations_in_indictrans2s_form_equal_the_library(server: Server, folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders[INDIC], local_files_only=True, src_lang="eng_Latn")
    model = AutoModelForSeq2SeqLM.from_pretrained(folders[INDIC], local_files_only=True)
    bodies = [{"text": TEXTS[:3], "target_language": "hin_Deva"}, {"text": TEXTS[0], "target_language": "tam_Taml"}]
    for body, result in zip(bodies, await run_all(server, INDIC, bodies), strict=True):
        texts = [body["text"]] if isinstance(body["text"], str) else body["text"]
        target = tokenizer.convert_tokens_to_ids(body["target_language"])
        with torch.inference_mode():
            ids = [model.generate(**tokenizer(text, return_tensors="pt"), forced_bos_token_id=target) for text in texts]
        assert told(result) == {"translations": [tokenizer.decode(row[0], skip_special_tokens=True) for row in ids]}


async def test_reranking_equals_the_library(server: Server, folders: dict[str, Path]) -> None:
    model = CrossEncoder(str(folders[RERANKER]), device="cpu", local_files_only=True)
    bodies = [{"query": text, "contexts": contexts(TEXTS)} for text in TEXTS]
    for body, result in zip(bodies, await run_all(server, RERANKER, bodies), strict=True):
        expected = model.rank(body["query"], TEXTS)
        assert list(told(result)) == ["response"]
        assert [item["id"] for item in result["response"]] == [item["corpus_id"] for item in expected]
        assert_close([item["score"] for item in result["response"]], [item["score"] for item in expected])


def test_reranking_gives_the_best_few(client: Cloudflare) -> None:
    everything = run(client, RERANKER, query="a b", contexts=contexts(TEXTS))["response"]
    best = run(client, RERANKER, query="a b", contexts=contexts(TEXTS), top_k=2)["response"]
    assert [item["id"] for item in best] == [item["id"] for item in everything[:2]]


def test_the_tokens_of_a_ranking_are_those_of_its_pairs(client: Cloudflare, folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders[RERANKER], local_files_only=True)
    tokens = sum(map(len, tokenizer(["a b"] * len(TEXTS), TEXTS)["input_ids"]))
    body = {"query": "a b", "contexts": contexts(TEXTS)}
    answer = client.ai.with_raw_response.run(RERANKER, account_id=ACCOUNT, extra_body=body)
    usage = answer.json()["result"]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (tokens, 0)
    assert usage["neurons"] == pytest.approx(tokens)
    assert answer.headers["cf-ai-neurons"] == f"{tokens}.00"


@pytest.mark.parametrize("like", EMBEDDERS)
async def test_embeddings_equal_the_library(server: Server, folders: dict[str, Path], like: str) -> None:
    name = EMBEDDERS[like]
    bodies = [{"text": text} for text in (TEXTS, *TEXTS)]
    results = await run_all(server, name, bodies)
    model = sentence_model(folders[name])
    expected = model.encode_document(TEXTS) if like == "qwen3-embedding" else model.encode(TEXTS)
    pooling = {"pooling": "cls"} if like == "bge-m3" else {}
    for result in results:
        assert {key: value for key, value in told(result).items() if key != "data"} == {
            "shape": [len(result["data"]), 32],
            **pooling,
        }
    assert_close(results[0]["data"], expected)
    assert_close([result["data"][0] for result in results[1:]], expected)


def test_bge_m3_ranks_and_embeds_contexts(client: Cloudflare, folders: dict[str, Path]) -> None:
    model = sentence_model(folders[EMBEDDERS["bge-m3"]])
    stored = model.encode_document(TEXTS)
    ranked = run(client, EMBEDDERS["bge-m3"], query="a b", contexts=contexts(TEXTS))
    expected = model.similarity(model.encode_query("a b"), stored)[0].numpy()
    assert [item["id"] for item in ranked["response"]] == list(np.argsort(-expected, kind="stable"))
    embedded = run(client, EMBEDDERS["bge-m3"], contexts=contexts(TEXTS))
    assert (embedded["shape"], embedded["pooling"]) == ([len(TEXTS), 32], "cls")
    assert_close(embedded["response"], stored)


def test_qwen_tells_queries_from_documents(client: Cloudflare, folders: dict[str, Path]) -> None:
    name = EMBEDDERS["qwen3-embedding"]
    model = sentence_model(folders[name])
    assert_close(run(client, name, queries=TEXTS)["data"], model.encode_query(TEXTS))
    assert_close(run(client, name, documents=TEXTS)["data"], model.encode_document(TEXTS))
    instructed = run(client, name, queries=TEXTS, instruction="x y")["data"]
    assert_close(instructed, model.encode(TEXTS, prompt="Instruct: x y\nQuery:"))


async def test_translations_into_several_languages_equal_the_library(server: Server, folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders[TRANSLATOR], local_files_only=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(folders[TRANSLATOR], local_files_only=True)
    pairs = [("en", "fr"), ("de", "zh"), ("fr", "en"), ("en", "zu"), ("ja", "de"), ("en", "fr")]
    bodies = [
        {"text": text, "source_lang": source, "target_lang": target}
        for text, (source, target) in zip(TEXTS, pairs, strict=True)
    ]
    results = await run_all(server, TRANSLATOR, bodies)
    for text, (source, target), result in zip(TEXTS, pairs, results, strict=True):
        tokenizer.src_lang = source
        with torch.inference_mode():
            ids = model.generate(
                **tokenizer(text, return_tensors="pt"), forced_bos_token_id=tokenizer.get_lang_id(target)
            )
        assert told(result) == {"translated_text": tokenizer.decode(ids[0], skip_special_tokens=True)}


async def test_summaries_equal_the_library(server: Server, folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders[SUMMARIZER], local_files_only=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(folders[SUMMARIZER], local_files_only=True)
    bodies = [{"input_text": text, "max_length": length} for text in TEXTS for length in (12, 20)]
    results = await run_all(server, SUMMARIZER, bodies)
    for body, result in zip(bodies, results, strict=True):
        encoded = tokenizer(body["input_text"], return_tensors="pt", return_token_type_ids=False)
        with torch.inference_mode():
            ids = model.generate(**encoded, max_length=body["max_length"])
        assert told(result) == {"summary": tokenizer.decode(ids[0], skip_special_tokens=True).strip()}


@pytest.mark.parametrize(
    ("model", "body", "code", "text"),
    [
        (RERANKER, {"contexts": contexts(["a"])}, 5006, "Bad input: Error: required properties at '/' are 'query'"),
        (TRANSLATOR, {"text": "a", "target_lang": "xx"}, 5006, "Bad input: Error: '/target_lang': must be one of af, "),
        (SUMMARIZER, {"input_text": ""}, 5006, "Bad input: Error: Length of '/input_text' must be >= 1"),
        (EMBEDDERS["qwen3-embedding"], {}, 5006, "Bad input: Error: anyOf at '/' not met, 0 matches: "),
        (
            EMBEDDERS["bge-m3"],
            {"text": "a " * 100},
            3030,
            "Max context reached 102 tokens but model supports only 64",
        ),
    ],
)
def test_errors(client: Cloudflare, model: str, body: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(cloudflare.BadRequestError) as found:
        run(client, model, **body)
    (item,) = found.value.errors
    assert item.code == code
    assert str(item.message).startswith(f"AiError: {text}")


def test_a_long_text_is_cut_if_the_caller_says_so(client: Cloudflare) -> None:
    name = EMBEDDERS["bge-m3"]
    cut = run(client, name, text="a " * 100, truncate_inputs=True)
    assert_close(cut["data"], run(client, name, text="a " * 62)["data"])


@pytest.mark.parametrize("like", EMBEDDERS)
def test_every_embedder_answers_openais_form_with_the_same_vectors(
    client: Cloudflare, server: Server, like: str
) -> None:
    native = np.array(run(client, EMBEDDERS[like], text=TEXTS)["data"])
    url = f"{server.base_url}/accounts/{ACCOUNT}/ai/v1"
    with OpenAI(api_key="any", base_url=url, max_retries=0) as openai:
        found = openai.embeddings.create(model=EMBEDDERS[like], input=TEXTS)
        assert_close([item.embedding for item in found.data], native)
        half = native.shape[1] // 2
        if like == "bge-m3":
            with pytest.raises(BadRequestError, match="'/dimensions' cannot be chosen"):
                openai.embeddings.create(model=EMBEDDERS[like], input=TEXTS, dimensions=half)
            return
        cut = openai.embeddings.create(model=EMBEDDERS[like], input=TEXTS, dimensions=half)
    expected = native[:, :half] / np.linalg.norm(native[:, :half], axis=1, keepdims=True)
    assert_close([item.embedding for item in cut.data], expected)
