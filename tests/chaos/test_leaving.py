"""Clients that leave at every byte of a request and of an answer: nothing waits for them, nothing runs on."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.chaos import raw
from tests.chaos.test_life import Caller, row
from tests.chaos.witness import belongings, left_behind, watched, worker_of
from tests.waiting import eventually

# Far more numbers than the engine gives while the test lasts: only a client that leaves ends such a stream.
ENDLESS = {"prompt": "n", "max_tokens": 100_000_000, "stream": True}
WHOLE = {**ENDLESS, "stream": False}
ANSWER_BYTES = 700


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, Path]]:
    """A gateway, and the file in which its streaming engine notes whom it admits and whom it drops."""
    folder = tmp_path_factory.mktemp("left")
    notes = folder / "notes"
    more = f", max_streams: 32, timeout_s: 600, options: {{notes: '{notes}', step_s: 0.002}}"
    counts = row("s", "counts", more).replace("text-classification", "text-generation")
    with watched(folder, row("a"), counts) as gateway:
        gateway.ask("a", "warm").raise_for_status()
        gateway.http.post(gateway.server.run_url("@test/s"), json={"prompt": "w", "max_tokens": 1}).raise_for_status()
        yield gateway, notes


@contextlib.contextmanager
def nothing_left(gateway: Caller, notes: Path) -> Iterator[None]:
    """Afterwards no request waits or runs, every stream that was admitted was dropped, and the workers are the same."""
    before, workers = belongings(gateway), [worker_of(gateway, name) for name in "as"]
    notes.write_text("")
    yield
    assert eventually(lambda: all(not model["waiting"] + model["running"] for model in gateway.ready()[1]["models"]))
    assert not left_behind(gateway, before)
    assert [worker_of(gateway, name) for name in "as"] == workers
    noted = notes.read_text()
    assert noted.count("admit n\n") == noted.count("drop n\n")
    assert gateway.ask("a", "still here").json()["result"][0]["label"] == "still here"


def at_once(calls: Iterable[tuple[int, bool]], call: Callable[[int, bool], None]) -> None:
    """Sixteen clients at a time."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda one: call(*one), calls))


@pytest.mark.parametrize(
    "sent",
    [
        raw.request("@test/a", {"text": "who leaves"}),
        raw.head("@test/a", "transfer-encoding: chunked") + b'd\r\n{"text": "who\r\n9\r\n leaves"}\r\n0\r\n\r\n',
        raw.request("@test/s", WHOLE),
    ],
    ids=["whole", "chunked", "long at work"],
)
def test_a_client_may_leave_at_every_byte_of_its_request(left: tuple[Caller, Path], sent: bytes) -> None:
    gateway, notes = left

    def send(size_bytes: int, rudely: bool) -> None:
        connection = raw.connect(gateway.server)
        connection.sendall(sent[:size_bytes])
        raw.leave(connection, rudely=rudely)

    with nothing_left(gateway, notes):
        at_once(((size, rudely) for size in range(len(sent) + 1) for rudely in (False, True)), send)


def test_a_client_may_leave_at_every_byte_of_a_stream(left: tuple[Caller, Path]) -> None:
    gateway, notes = left
    asked = raw.request("@test/s", ENDLESS)

    def take(size_bytes: int, rudely: bool) -> None:
        connection = raw.connect(gateway.server)
        connection.sendall(asked)
        taken = 0
        while taken < size_bytes:
            taken += len(connection.recv(size_bytes - taken))
        raw.leave(connection, rudely=rudely)

    with nothing_left(gateway, notes):
        at_once(((size, bool(size % 2)) for size in range(ANSWER_BYTES)), take)
        noted = notes.read_text()
    assert noted.count("admit n\n") > ANSWER_BYTES // 2


def test_a_client_may_leave_at_every_byte_of_an_answer(left: tuple[Caller, Path]) -> None:
    gateway, notes = left
    asked = raw.request("@test/a", {"text": "taken in part"}).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    with raw.connect(gateway.server) as connection:
        connection.sendall(asked)
        whole = len(raw.rest_of(connection))

    def take(size_bytes: int, rudely: bool) -> None:
        connection = raw.connect(gateway.server)
        connection.sendall(asked)
        taken = 0
        while taken < size_bytes and (more := connection.recv(size_bytes - taken)):
            taken += len(more)
        raw.leave(connection, rudely=rudely)

    with nothing_left(gateway, notes):
        at_once(((size, bool(size % 2)) for size in range(whole + 1)), take)
