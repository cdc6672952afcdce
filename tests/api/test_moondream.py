"""A stream in Moondream's form: the events and their order, as the live service was recorded to send them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.api.moondream_frames import MoondreamFrames
from gateway.app import create_app
from gateway.config import Settings
from gateway.tasks import Origin, Piece, Usage
from gateway.tasks.media import picture
from gateway.tasks.moondream import MoondreamInput
from tests.api.conftest import BEARER, FIXTURES, client_of, row, run_path
from tests.api.events import DONE, frames

ZEROS = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "prompt_tokens_details": {"cached_tokens": 0},
}
PRICE = [{"unit": "per M input tokens", "price": 11.0}, {"unit": "per M output tokens", "price": 22.0}]
URI = "data:image/png;base64," + base64.b64encode(picture()).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    home: Path = tmp_path_factory.mktemp("moondream")
    engine, price = f"{FIXTURES}.scripted:Engine", {"properties": {"price": PRICE}}
    app = create_app(
        Settings(home=home, grace_s=0.0), [row("see", "image-to-text", engine, shape="moondream", **price)]
    )
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as client:
        yield client


async def told(http: httpx.AsyncClient, script: list[dict[str, Any]], **body: Any) -> list[Any]:
    """The events of a query that is answered as `script` says."""
    answer = await http.post(run_path("see"), json={"question": json.dumps(script), "stream": True, **body})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    return frames(answer.text)


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return (
        ZEROS | {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion} | more
    )


def written(pieces: list[Piece], **body: Any) -> list[Any]:
    """The events that these pieces of an answer become."""
    writer = MoondreamFrames(MoondreamInput.model_validate({"question": "?", **body}), Origin("an-id"))
    return frames(b"".join(map(writer.write, pieces)).decode())


def test_the_whole_series() -> None:
    end = Usage(7, 4, prefill_s=0.25, decode_s=0.5, neurons=15.0)
    events = written(
        [
            Piece(reasoning="hm", usage=Usage(7, 1)),
            Piece(text="A", usage=Usage(7, 2)),
            Piece(text=" cat", usage=Usage(7, 3)),
            Piece(finish_reason="stop", usage=end),
        ]
    )
    nothing = {"points": None, "objects": None, "caption": None}
    idle = {"input_tokens": 0, "output_tokens": 0, "prefill_time_ms": 0, "decode_time_ms": 0, "ttft_ms": 0}
    partial = {"finish_reason": "", "metrics": idle, "reasoning": None, **nothing}
    whole = {
        "answer": "A cat",
        "finish_reason": "stop",
        "metrics": {
            "input_tokens": 7,
            "output_tokens": 4,
            "prefill_time_ms": 250,
            "decode_time_ms": 500,
            "ttft_ms": 250,
        },
        "reasoning": {"text": "hm", "grounding": []},
        **nothing,
    }
    run = {"input_tokens": 7, "output_tokens": 4, "predict_time": 0.75, "task": "query"}
    assert events == [
        {"id": "an-id", "status": "processing", "usage": ZEROS},
        {"mode": "replace", "name": "task", "value": "query", "usage": ZEROS},
        {"mode": "replace", "name": "input_tokens", "value": 7, "usage": usage(7, 0)},
        {"chunk": partial | {"answer": "A"}, "index": 0, "usage": ZEROS},
        {"chunk": partial | {"answer": "A cat"}, "index": 1, "usage": ZEROS},
        {"chunk": whole, "index": 2, "usage": ZEROS},
        {"mode": "replace", "name": "output_tokens", "value": 4, "usage": usage(7, 4)},
        {"id": "an-id", "logs": "", "metrics": run, "output": [whole], "status": "succeeded", "usage": ZEROS},
        {"response": "", "usage": usage(7, 4, neurons=15.0)},
        DONE,
    ]


def test_a_stream_grows_with_its_text_and_not_with_the_square_of_it() -> None:
    pieces = [Piece(text="word ") for _ in range(2000)]
    events = written([*pieces, Piece(finish_reason="stop")], task="caption", image=URI)
    texts = [event["chunk"]["caption"] for event in events if "chunk" in event]
    assert texts[-1] == "word " * 2000
    assert texts == sorted(texts, key=len)
    assert len(texts) > 100
    assert sum(map(len, texts)) < 40 * len(texts[-1])


@pytest.mark.asyncio(loop_scope="module")
async def test_without_stream_the_answer_is_the_last_output(http: httpx.AsyncClient) -> None:
    script = [{"reasoning": "hm"}, {"text": "A cat"}]
    whole = (await http.post(run_path("see"), json={"question": json.dumps(script)})).json()["result"]
    counts = whole.pop("usage")
    (end,) = (event for event in await told(http, script) if "output" in event)
    assert whole == end["output"][-1]
    assert counts["neurons"] == pytest.approx(counts["prompt_tokens"] + 2 * counts["completion_tokens"])


@pytest.mark.asyncio(loop_scope="module")
async def test_reasoning_that_is_not_wanted_is_not_told(http: httpx.AsyncClient) -> None:
    events = await told(http, [{"reasoning": "hm"}, {"text": "A cat"}], reasoning=False)
    assert all(event["chunk"]["reasoning"] is None for event in events if "chunk" in event)
    assert "hm" not in json.dumps(events)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stream_that_fails_says_so_and_is_not_whole(http: httpx.AsyncClient) -> None:
    *_, last = await told(http, [{"text": "A"}, {"fail": True}])
    assert (last["success"], last["errors"][0]["code"]) == (False, 3043)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("skill", ["point", "detect"])
async def test_places_are_refused_by_name_streamed_or_not(http: httpx.AsyncClient, skill: str) -> None:
    body = {"task": skill, "target": "a dog", "image": base64.b64encode(picture()).decode()}
    for stream in (False, True):
        answer = await http.post(run_path("see"), json=body | {"stream": stream})
        assert answer.status_code == 400
        assert f"'/task': this model answers query and caption, not {skill}" in answer.text
