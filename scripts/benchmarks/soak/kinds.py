"""What is asked of the models: kinds of requests with the answers that they must get; knows no connection."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import orjson

from gateway.config import ModelSpec
from scripts.benchmarks.client import Reply
from scripts.benchmarks.encoders import CONTEXTS, photos, rankings
from scripts.benchmarks.server import ACCOUNT, run_path
from scripts.benchmarks.texts import SENTENCES, passages, prompts

OPENAI = f"/client/v4/accounts/{ACCOUNT}/ai/v1"
WIDTH = 384


@dataclass(frozen=True)
class Question:
    """A request, and whether an answer with the status 200 is one to it."""

    path: str
    body: bytes
    content_type: str
    is_answered_by: Callable[[Reply], bool]
    streams: bool = False


Kind = Callable[[Random], Question]


def _json(path: str, document: Any, is_answer: Callable[[Any], bool]) -> Question:
    return Question(path, orjson.dumps(document), "application/json", lambda reply: is_answer(_parsed(reply)))


def _parsed(reply: Reply) -> Any:
    document = orjson.loads(reply.body)
    return document.get("result", document)


def _is_whole_stream(reply: Reply) -> bool:
    *events, last = [data for _, data in reply.events()]
    return last == b"[DONE]" and len(events) > 1 and not any("errors" in orjson.loads(event) for event in events)


def _classify(model: str, chance: Random) -> Question:
    (text,) = passages(1, chance.getrandbits(32))
    return _json(run_path(model), {"text": text}, lambda result: 0.99 < sum(one["score"] for one in result) < 1.01)


def _embed(model: str, chance: Random) -> Question:
    texts = passages(chance.randint(1, 8), chance.getrandbits(32))
    shape = [len(texts), WIDTH]
    return _json(run_path(model), {"text": texts}, lambda result: result["shape"] == shape)


def _embed_as_openai(model: str, chance: Random) -> Question:
    texts = passages(chance.randint(1, 8), chance.getrandbits(32))
    return _json(f"{OPENAI}/embeddings", {"model": model, "input": texts}, lambda it: len(it["data"]) == len(texts))


def _chat(model: str, chance: Random) -> Question:
    asked = {"prompt": prompts(1, chance.getrandbits(32))[0], "max_tokens": chance.randint(8, 48)}
    return _json(run_path(model), asked, lambda result: 0 < result["usage"]["completion_tokens"] <= asked["max_tokens"])


def _chat_stream(model: str, chance: Random) -> Question:
    (prompt,) = prompts(1, chance.getrandbits(32))
    words: dict[str, Any] = {"stream": True, "max_tokens": chance.randint(8, 48)}
    if chance.random() < 0.5:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **words}
        path = f"{OPENAI}/chat/completions"
    else:
        body, path = {"prompt": prompt, **words}, run_path(model)
    return Question(path, orjson.dumps(body), "application/json", _is_whole_stream, streams=True)


def _speak(model: str, chance: Random) -> Question:
    sentence = chance.choice(SENTENCES)
    return _json(run_path(model), {"prompt": sentence}, lambda result: len(base64.b64decode(result["audio"])) > 1000)


def _hear(clips: Sequence[bytes], model: str, chance: Random) -> Question:
    path, clip = run_path(model), chance.choice(clips)
    return Question(path, clip, "audio/mpeg", lambda reply: _parsed(reply)["word_count"] > 5)


def _judge_turn(clips: Sequence[bytes], model: str, chance: Random) -> Question:
    clip = base64.b64encode(chance.choice(clips)).decode()
    return _json(run_path(model), {"audio": clip}, lambda result: 0 <= result["probability"] <= 1)


def _rank(model: str, chance: Random) -> Question:
    (asked,) = rankings(1, chance.getrandbits(32))
    return _json(run_path(model), asked, lambda result: len(result["response"]) == CONTEXTS)


def _see(pictures: Sequence[bytes], model: str, chance: Random) -> Question:
    path, picture = run_path(model), chance.choice(pictures)
    return Question(path, picture, "image/jpeg", lambda reply: len(_parsed(reply)) > 0)


def kinds(rows: Sequence[ModelSpec], clips: Sequence[bytes]) -> dict[str, Kind]:
    """The kinds that these rows answer, by what they are called in tables; `clips` is speech as MP3."""
    pictures = [base64.b64decode(photo) for photo in photos(4, seed=1)]
    asked: dict[str, dict[str, Callable[[str, Random], Question]]] = {
        "text-classification": {"classification": _classify},
        "text-embeddings": {"embeddings": _embed, "embeddings, OpenAI": _embed_as_openai},
        "text-generation": {"chat": _chat, "chat, streamed": _chat_stream},
        "text-to-speech": {"speech synthesis": _speak},
        "automatic-speech-recognition": {"speech recognition": partial(_hear, clips)},
        "voice-activity-detection": {"turn detection": partial(_judge_turn, clips)},
        "reranking": {"reranking": _rank},
        "image-classification": {"image classification": partial(_see, pictures)},
    }
    found: dict[str, Kind] = {}
    for row in rows:
        for name, kind in asked[row.task].items():
            found[f"{name}, {row.name}" if name in found else name] = partial(kind, row.name)
    return found
