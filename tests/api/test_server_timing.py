"""`Server-Timing`: where a request's time went, on every answer that a model accepted the request for."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import httpx
import pytest

from gateway.api.server_timing import header_value
from gateway.app import create_app
from gateway.config import Settings
from gateway.runtime.timing import Timing
from tests.api.conftest import BEARER, FIXTURES, Served, client_of, row, run_path, until

ENTRY = re.compile(r'(\w+)(?:;dur=([0-9.]+)|;desc="(\d+)")')


def timing(response: httpx.Response) -> dict[str, float]:
    """The header's entries: milliseconds, and the size of the batch; fails on anything else in it."""
    value = response.headers["server-timing"]
    entries = ENTRY.findall(value)
    assert ", ".join(match.group() for match in ENTRY.finditer(value)) == value
    return {name: float(duration or size) for name, duration, size in entries}


@pytest.mark.parametrize(
    ("moments", "value"),
    [
        ((10.0, 10.5, 1, 0.0, 9.0, 10.75), b'queue;dur=500.000, batch;desc="1", run;dur=250.000'),
        ((10.0, 12.5, 3, 10.5, 12.0, 13.0), b'queue;dur=1000.000, load;dur=1500.000, batch;desc="3", run;dur=500.000'),
        ((10.0, 12.5, 1, 9.0, 12.0, 12.5), b'queue;dur=500.000, load;dur=2000.000, batch;desc="1", run;dur=0.000'),
    ],
    ids=["loaded before", "loaded for it", "came during the load"],
)
def test_a_load_counts_as_far_as_the_request_waited_for_it(moments: tuple[float, ...], value: bytes) -> None:
    found = Timing()
    found.queued_at, taken_at, items, load_began_at, load_ended_at, found.ended_at = moments
    found.take(taken_at, int(items), load_began_at, load_ended_at)
    assert header_value(found) == value


def test_a_request_that_no_worker_took_only_waited() -> None:
    found = Timing()
    found.queued_at, found.ended_at = 5.0, 5.25
    assert header_value(found) == b"queue;dur=250.000"


@pytest.mark.asyncio(loop_scope="session")
class TestAnswers:
    async def test_whole_answers_tell_queue_batch_and_run_within_the_time_they_took(self, served: Served) -> None:
        await served.run("classify", json={"text": "loads the model"})
        began = time.perf_counter()
        found = timing(await served.run("classify", json={"text": "a"}))
        took_ms = (time.perf_counter() - began) * 1000
        assert list(found) == ["queue", "batch", "run"]
        assert found["batch"] == 1
        assert found["run"] > 0
        assert found["queue"] + found["run"] <= took_ms

    async def test_streams_tell_it_before_their_first_frame(self, served: Served) -> None:
        asked = {"prompt": "n", "max_tokens": 3}
        assert "run" in timing(await served.run("count", json=asked))
        found = timing(await served.run("count", json={**asked, "stream": True}))
        assert list(found) == ["queue", "batch", "first"]

    async def test_requests_that_waited_together_tell_that_and_the_wait(self, tmp_path: Path) -> None:
        gate = tmp_path / "timed"
        model = row("timed", "text-classification", f"{FIXTURES}.waits:Engine", options={"gate": str(gate)})
        app = create_app(Settings(home=tmp_path), [model])
        async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:

            def post(text: str) -> asyncio.Task[httpx.Response]:
                return asyncio.create_task(http.post(run_path("timed"), json={"text": text}))

            posts = [post("a")]
            await until(gate.with_suffix(".batches").exists)
            began = time.perf_counter()
            posts += [post(text) for text in "bcd"]
            await until(lambda: app.state.gateway.registry.get("@cf/test/timed").status()["waiting"] == 3)
            waited_ms = (time.perf_counter() - began) * 1000
            gate.touch()
            first, *others = [timing(await answer) for answer in posts]
        assert list(first) == ["queue", "load", "batch", "run"]
        assert first["load"] > 0
        assert first["batch"] == 1
        assert first["run"] >= waited_ms
        for other in others:
            assert list(other) == ["queue", "batch", "run"]
            assert other["batch"] == 3
            assert other["queue"] > 0

    @pytest.mark.parametrize(
        ("name", "text", "status"),
        [("raises", "poison", 500), ("raises", "refuse", 400), ("hangs", "hang", 408)],
    )
    async def test_failures_inside_a_model_tell_it_too(self, served: Served, name: str, text: str, status: int) -> None:
        response = await served.run(name, json={"text": text})
        assert response.status_code == status
        assert [entry for entry in timing(response) if entry != "load"] == ["queue", "batch", "run"]

    async def test_what_no_model_accepted_has_none(self, served: Served) -> None:
        for response in (
            await served.run("classify", json={}),
            await served.run("nobody", json={"text": "a"}),
            await served.http.get("/health"),
        ):
            assert "server-timing" not in response.headers
