"""Batches: taken at once, answered in the background, kept for their account, and not lost with the process."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.api.batches import pieces
from gateway.app import create_app
from gateway.config import Settings
from gateway.runtime.batch_store import RETENTION_S, BatchStore, Mark, Outcome, item
from tests.api.conftest import ACCOUNT, BEARER, Served, client_of, row, run_path

loop = pytest.mark.asyncio(loop_scope="session")
QUEUED = "?queueRequest=true"


async def finished(http: httpx.AsyncClient, path: str, request_id: str, suffix: str = "") -> dict[str, Any]:
    """The result of a batch once it is done."""
    async with asyncio.timeout(60):
        while True:
            response = await http.post(path + suffix, json={"request_id": request_id})
            result: dict[str, Any] = response.json()["result"]
            if response.status_code == 200:
                return result
            assert (response.status_code, result["request_id"]) == (202, request_id)
            assert result["status"] in ("queued", "running")


@loop
@pytest.mark.parametrize("suffix", [QUEUED, ""])
async def test_a_batch_is_taken_and_answered_later(served: Served, suffix: str) -> None:
    requests = [{"text": "a", "external_reference": "first"}, {"text": "bb"}]
    response = await served.http.post(run_path("classify") + suffix, json={"requests": requests})
    taken = response.json()["result"]
    assert (response.status_code, taken["status"], taken["model"]) == (202, "queued", "@cf/test/classify")
    result = await finished(served.http, run_path("classify"), taken["request_id"], suffix)
    alone = [(await served.run("classify", json={"text": text})).json()["result"] for text in ("a", "bb")]
    assert result["responses"] == [
        {"id": 0, "result": alone[0], "success": True, "external_reference": "first"},
        {"id": 1, "result": alone[1], "success": True, "external_reference": None},
    ]


@loop
async def test_usage_is_that_of_all_items(served: Served) -> None:
    requests = [{"prompt": "one two", "max_tokens": 9}, {"prompt": "three", "max_tokens": 9}]
    response = await served.http.post(run_path("chat") + QUEUED, json={"requests": requests})
    result = await finished(served.http, run_path("chat"), response.json()["result"]["request_id"])
    assert [answer["result"]["response"] for answer in result["responses"]] == ["one two", "three"]
    assert result["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


@loop
async def test_one_request_may_be_queued_without_a_list(served: Served) -> None:
    response = await served.http.post(run_path("classify") + QUEUED, json={"text": "a"})
    result = await finished(served.http, run_path("classify"), response.json()["result"]["request_id"])
    assert [answer["success"] for answer in result["responses"]] == [True]


@loop
async def test_requests_of_one_batch_may_have_the_forms_that_its_model_takes(served: Served) -> None:
    requests = [{"input": "one"}, {"messages": [{"role": "user", "content": "two"}]}]
    response = await served.http.post(run_path("say-oss") + QUEUED, json={"requests": requests})
    result = await finished(served.http, run_path("say-oss"), response.json()["result"]["request_id"])
    first, second = (answer["result"] for answer in result["responses"])
    assert (first["object"], first["output"][0]["content"][0]["text"]) == ("response", "one ")
    assert (second["object"], second["choices"][0]["message"]["content"]) == ("chat.completion", "two ")
    assert first["id"].removeprefix("resp_") != second["id"].removeprefix("chatcmpl-")


@loop
async def test_an_item_that_fails_spares_the_others(served: Served) -> None:
    requests = [{"prompt": "a", "max_tokens": 1}, {"prompt": "a", "max_tokens": 10_000}]
    response = await served.http.post(run_path("chat") + QUEUED, json={"requests": requests})
    result = await finished(served.http, run_path("chat"), response.json()["result"]["request_id"])
    good, bad = result["responses"]
    assert (good["success"], bad["success"], bad["errors"][0]["code"]) == (True, False, 5021)
    assert "result" not in bad


@loop
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"requests": []}, "'/requests' must be a list of at least one request"),
        ({"requests": "x"}, "'/requests' must be a list"),
        ({"requests": [5]}, "Type mismatch of '/requests/0'"),
        ({"requests": [{"text": "a"}, {}]}, "in '/requests/1': required properties at '/' are 'text'"),
        ({"requests": [{"text": "a", "external_reference": 5}]}, "'/requests/0/external_reference' must be a string"),
        ({"requests": [{"text": "a", "external_reference": "x" * 1025}]}, "at most 1024 characters"),
        ({"request_id": "00000000-0000-0000-0000-000000000000"}, "'/request_id' is not that of a batch"),
        ({"request_id": "../../etc/passwd"}, "'/request_id' is not that of a batch"),
    ],
)
async def test_batches_that_are_refused(served: Served, body: Any, said: str) -> None:
    response = await served.http.post(run_path("classify") + QUEUED, json=body)
    error = response.json()["errors"][0]
    assert (response.status_code, error["code"]) == (400, 5006)
    assert said in error["message"]


@loop
@pytest.mark.parametrize(
    ("model", "requests", "said"),
    [
        ("chat", [{"prompt": "a", "stream": True}], "'/requests/0/stream' cannot be true in a batch"),
        ("speak-raw", [{"text": "a"}], "answers with media"),
    ],
)
async def test_answers_that_a_batch_cannot_hold(served: Served, model: str, requests: Any, said: str) -> None:
    response = await served.http.post(run_path(model) + QUEUED, json={"requests": requests})
    assert response.status_code == 400
    assert said in response.json()["errors"][0]["message"]


@loop
async def test_a_batch_is_its_accounts_alone(served: Served) -> None:
    response = await served.http.post(run_path("classify") + QUEUED, json={"requests": [{"text": "a"}]})
    request_id = response.json()["result"]["request_id"]
    other = run_path("classify").replace(ACCOUNT, "f" * 32)
    assert (await served.http.post(other, json={"request_id": request_id})).status_code == 400


@loop
async def test_a_body_that_only_speaks_of_requests_is_no_batch(served: Served) -> None:
    response = await served.run("classify", json={"text": 'the key "requests"'})
    assert (response.status_code, len(response.json()["result"])) == (200, 2)


async def test_the_next_process_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    store = BatchStore(tmp_path / "batches")
    name = "@cf/test/classify"
    batch = store.add(ACCOUNT, name, "default", [item({"text": "a"}, None), item({"text": "b"}, None)])
    store.append(batch, Outcome(Mark(0, success=True), b'"kept"'))
    with (tmp_path / "batches" / f"{batch.id}.outcomes").open("ab") as file:
        file.write(b"\x05\x63\x00\x00\x00half of an outco")
    app = create_app(Settings(home=tmp_path, grace_s=0.0), [row("classify", "text-classification", "fake")])
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        result = await finished(http, run_path("classify"), batch.id)
    assert [answer["success"] for answer in result["responses"]] == [True, True]
    assert result["responses"][0]["result"] == "kept"


def test_batches_are_kept_for_a_day(tmp_path: Path) -> None:
    store = BatchStore(tmp_path)
    batch = store.add(ACCOUNT, "m", "default", [item({}, None)])
    written_at = (tmp_path / f"{batch.id}.request").stat().st_mtime
    store.sweep(written_at + RETENTION_S - 1)
    assert store.find(batch.id) is not None
    store.sweep(written_at + RETENTION_S + 1)
    assert store.find(batch.id) is None
    assert list(tmp_path.iterdir()) == []


def test_the_answers_of_a_batch_are_read_and_sent_in_parts_however_large_they_are(tmp_path: Path) -> None:
    store, large = BatchStore(tmp_path), b'"' + b"a" * 1_000_000 + b'"'
    batch = store.add(ACCOUNT, "m", "default", [item({"text": "a"}, None)] * 30)
    for index in reversed(range(30)):
        store.append(batch, Outcome(Mark(index, success=True, prompt_tokens=2), large))
    progress = store.find(batch.id)
    assert progress is not None
    tracemalloc.start()
    size = sum(map(len, pieces(progress, store.outcomes(progress))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30_000_000 > 6_000_000 > peak
    result = orjson.loads(b"".join(pieces(progress, store.outcomes(progress))))["result"]
    assert [(answer["id"], len(answer["result"])) for answer in result["responses"]] == [
        (index, 1_000_000) for index in range(30)
    ]
    assert result["usage"] == {"prompt_tokens": 60, "completion_tokens": 0, "total_tokens": 60}


async def test_what_there_is_no_room_to_keep_is_refused_or_fails_alone(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), [row("classify", "text-classification", "fake")])
    batches = app.state.gateway.batches
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        batches._store = BatchStore(tmp_path / "batches", max_bytes=2600)
        refused = await http.post(run_path("classify"), json={"requests": [{"text": "a" * 3000}]})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3040)
        assert "cannot be kept now" in refused.json()["errors"][0]["message"]
        taken = await http.post(run_path("classify"), json={"requests": [{"text": "a" * 80}] * 15})
        result = await finished(http, run_path("classify"), taken.json()["result"]["request_id"])
    assert [answer["success"] for answer in result["responses"]].count(False) > 0
    assert {answer["errors"][0]["code"] for answer in result["responses"] if not answer["success"]} == {3040}


async def test_batches_that_wait_take_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runtime.batches.MAX_PENDING_BYTES", 100_000)
    rows = [row("hangs", "text-classification", "tests.fixtures.engines.hangs:Engine")]
    app = create_app(Settings(home=tmp_path, grace_s=0.0), rows)
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        statuses = [
            (await http.post(run_path("hangs"), json={"requests": [{"text": "hang" + " " * 40_000}]})).status_code
            for _ in range(4)
        ]
    assert statuses == [202, 202, 429, 429]
