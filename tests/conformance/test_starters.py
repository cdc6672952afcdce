"""Each starter model answers the official client, and its answers make sense."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import av
import httpx
import numpy as np
import pytest
from cloudflare import AsyncCloudflare, Cloudflare

from tests.server import ACCOUNT, Server

CHAT = "@local/smollm2-135m-instruct"
SENTENCE = "The train to London leaves in twenty minutes."


def run(client: Cloudflare, model: str, **input: Any) -> Any:
    return client.ai.run(model, account_id=ACCOUNT, **input)


def raw(client: Cloudflare, model: str, **input: Any) -> httpx.Response:
    return client.ai.with_raw_response.run(model, account_id=ACCOUNT, **input).http_response


def speak(client: Cloudflare, text: str, **input: Any) -> bytes:
    audio: str = run(client, "@local/espeak-ng", prompt=text, **input)["audio"]
    return base64.b64decode(audio)


def frames(body: str) -> list[Any]:
    """The events of a stream: parsed JSON, and the terminator as it stands."""
    assert body.endswith("\n\n")
    events = [event.removeprefix("data: ") for event in body.rstrip("\n").split("\n\n")]
    return [event if event == "[DONE]" else json.loads(event) for event in events]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this", "POSITIVE"),
        ("What a wonderful, moving film!", "POSITIVE"),
        ("This is terrible", "NEGATIVE"),
        ("It broke after a day and support was rude.", "NEGATIVE"),
    ],
)
def test_sentiment(client: Cloudflare, text: str, label: str) -> None:
    answer = run(client, "@local/minilm-sentiment", text=text)
    assert [item.label for item in answer] == ["NEGATIVE", "POSITIVE"]
    assert sum(item.score for item in answer) == pytest.approx(1)
    assert max(answer, key=lambda item: item.score).label == label


def test_embeddings_put_like_beside_like(client: Cloudflare) -> None:
    texts = ["A cat sits on the mat.", "A kitten is resting on a rug.", "Quarterly tax returns are due in April."]
    answer = run(client, "@local/all-minilm-l6-v2", text=texts)
    assert answer["shape"] == [3, 384]
    assert answer["pooling"] == "mean"
    vectors = np.array(answer["data"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=0.01)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2] + 0.3


def test_one_text_equals_itself_among_many(client: Cloudflare) -> None:
    texts = [f"Sentence number {i} " + "about rivers and lakes " * (i % 9) for i in range(100)]
    many = np.array(run(client, "@local/all-minilm-l6-v2", text=texts)["data"])
    one = np.array(run(client, "@local/all-minilm-l6-v2", text=texts[42])["data"][0])
    assert float(many[42] @ one) > 0.999


def test_chat_knows_a_capital(client: Cloudflare) -> None:
    answer = run(
        client,
        CHAT,
        messages=[{"role": "user", "content": "What is the capital of Japan?"}],
        temperature=0,
        max_tokens=40,
    )
    assert "Tokyo" in answer["response"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens"] <= 40


def counts(usage: dict[str, Any]) -> dict[str, Any]:
    """What an answer took, but for what it found in the cache of prompts."""
    return {name: count for name, count in usage.items() if name.endswith("_tokens")}


def test_chat_streams_what_it_would_say_at_once(client: Cloudflare) -> None:
    input = {"prompt": "Name three colours.", "temperature": 0, "max_tokens": 48}
    whole = run(client, CHAT, **input)
    with client.ai.with_streaming_response.run(CHAT, account_id=ACCOUNT, stream=True, **input) as response:
        assert response.headers["content-type"] == "text/event-stream"
        events = frames("".join(response.iter_text()))
    assert events[-1] == "[DONE]"
    assert events[-2]["response"] == ""
    assert counts(events[-2]["usage"]) == counts(whole["usage"])
    assert all("usage" not in event for event in events[:-2])
    assert all(event["p"] for event in events[:-2])
    assert len(events) > 5
    assert "".join(event["response"] for event in events[:-1]) == whole["response"]


async def test_concurrent_streams_are_not_mixed(starters: Server) -> None:
    words = ("apple", "river", "stone", "cloud")

    async with AsyncCloudflare(api_token="any", base_url=starters.base_url) as client:

        async def ask(word: str) -> str:
            input: dict[str, Any] = {"prompt": f"Repeat the word {word} ten times.", "temperature": 0, "max_tokens": 40}
            response = await client.ai.with_raw_response.run(CHAT, account_id=ACCOUNT, stream=True, **input)
            return "".join(event["response"] for event in frames(await response.text())[:-1])

        told = await asyncio.gather(*(ask(word) for word in words))
    for word, text in zip(words, told, strict=True):
        assert [other for other in words if other in text.lower()] == [word]


def test_the_plain_helper_cannot_read_a_stream(client: Cloudflare) -> None:
    """As with the real service: the helper expects JSON, the answer is an event stream."""
    with pytest.raises(AttributeError):
        run(client, CHAT, prompt="Hi", stream=True, max_tokens=2)


def test_a_seed_reproduces(client: Cloudflare) -> None:
    input = {"prompt": "Tell me a story.", "temperature": 1, "seed": 7, "max_tokens": 24}
    assert run(client, CHAT, **input)["response"] == run(client, CHAT, **input)["response"]


def test_speech_is_recognised_again(client: Cloudflare) -> None:
    audio = speak(client, SENTENCE)
    with av.open(io.BytesIO(audio)) as container:
        assert container.format.name == "mp3"
    heard = run(client, "@cf/openai/whisper-tiny-en", audio=list(audio))
    assert "the train to london leaves in" in heard["text"].lower()
    assert heard["word_count"] == len(heard["text"].split())
    starts = [word["start"] for word in heard["words"]]
    assert starts == sorted(starts)
    assert heard["vtt"].startswith("WEBVTT\n\n00:00:")


def test_a_natural_voice_is_recognised(client: Cloudflare) -> None:
    audio = base64.b64decode(run(client, "@local/piper-joe", prompt=SENTENCE)["audio"])
    heard = run(client, "@cf/openai/whisper-tiny-en", audio=list(audio))["text"].lower().replace("twenty", "20")
    # The voice is a little different each time, and one word may be taken for another that sounds alike.
    assert len(set(heard.strip(" .").split()) & {"the", "train", "to", "london", "leaves", "in", "20", "minutes"}) >= 6


@pytest.mark.parametrize(("text", "is_complete"), [(SENTENCE, True), ("The train to London leaves in, um", False)])
def test_turn_detection_hears_an_unfinished_sentence(client: Cloudflare, text: str, is_complete: bool) -> None:
    audio = run(client, "@local/piper-joe", prompt=text)["audio"]
    judged = run(client, "@local/smart-turn-v3", audio=audio)
    assert judged["is_complete"] is is_complete


def test_raw_audio_and_a_number_array_are_the_same(client: Cloudflare, starters: Server) -> None:
    audio = speak(client, SENTENCE)
    heard = run(client, "@cf/openai/whisper-tiny-en", audio=list(audio))
    for content_type in ("application/octet-stream", "audio/mpeg", "application/x-www-form-urlencoded"):
        answer = httpx.post(
            starters.run_url("@cf/openai/whisper-tiny-en"),
            content=audio,
            headers={"Authorization": "Bearer any", "Content-Type": content_type},
            timeout=60,
        )
        assert answer.json()["result"] == heard


def test_other_languages_are_spoken(client: Cloudflare) -> None:
    assert speak(client, "Guten Morgen", lang="de") != speak(client, "Guten Morgen", lang="en")


async def test_the_async_client_gets_answers_side_by_side(starters: Server) -> None:
    async with AsyncCloudflare(api_token="any", base_url=starters.base_url) as client:
        answers = await asyncio.gather(
            *(
                client.ai.run("@local/minilm-sentiment", account_id=ACCOUNT, text=text)
                for text in ("I love this", "I hate this") * 8
            )
        )
    tops = [max(answer, key=lambda item: item.score).label for answer in answers if isinstance(answer, list)]
    assert tops == ["POSITIVE", "NEGATIVE"] * 8


def test_the_raw_response_is_the_envelope(client: Cloudflare) -> None:
    response = raw(client, "@local/minilm-sentiment", text="I love this")
    assert response.headers["content-type"] == "application/json"
    assert len(response.headers["cf-ai-req-id"]) == 36
    body = response.json()
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])


def test_the_server_is_ready(starters: Server) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{starters.port}") as http:
        assert http.get("/health").status_code == 200
        http.post(
            starters.run_url("@local/minilm-sentiment"),
            json={"text": "warm"},
            headers={"X-Auth-Key": "any", "X-Auth-Email": "a@b.c"},
        ).raise_for_status()
        ready = http.get("/ready")
        assert ready.status_code == 200
        states = {model["name"]: model["state"] for model in ready.json()["models"]}
        assert states["@local/minilm-sentiment"] == "ready"
        assert 'gateway_requests_total{code="0",model="@local/minilm-sentiment"' in http.get("/metrics").text
