"""Clients that send a byte now and then, or take nothing: each is cut off, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator

import pytest

from tests.chaos import raw
from tests.chaos.test_life import Caller, row, serving
from tests.waiting import eventually

HEAD = raw.head("@test/a", "content-length: 100000")
CHUNKED = raw.head("@test/a", "transfer-encoding: chunked")
CHAT = HEAD.replace(b"run/@test/a", b"v1/chat/completions")
TOO_LONG = raw.head("@test/a", "content-length: 900000000")


def singly(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def for_ever(part: bytes) -> Iterator[bytes]:
    return itertools.repeat(part, 10_000)


SLOW: dict[str, tuple[Iterable[bytes], int]] = {
    "nothing": ([b""], 0),
    "half a head": ([HEAD[:40]], 408),
    "a head byte by byte": (singly(HEAD + b"x-more: " * 10_000), 408),
    "blank lines": (for_ever(b"\r\n"), 408),
    "a header without an end": (itertools.chain([HEAD[:-2]], for_ever(b"x-a: b\r\n")), 408),
    "half a body": ([HEAD + b'{"text":'], 408),
    "a body byte by byte": (itertools.chain([HEAD], singly(b" " * 90_000)), 408),
    "chunks of a byte": (itertools.chain([CHUNKED], for_ever(b"1\r\n \r\n")), 408),
    "a chat byte by byte": (itertools.chain([CHAT], singly(b" " * 90_000)), 408),
    "the rest of what was refused": (itertools.chain([TOO_LONG], for_ever(b" ")), 413),
}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A gateway that has little patience with its clients."""
    folder = tmp_path_factory.mktemp("slow")
    with serving(folder, row("a"), GATEWAY_CLIENT_TIMEOUT_S="0.5") as gateway:
        gateway.ask("a", "warm").raise_for_status()
        yield gateway


@pytest.mark.parametrize("name", SLOW)
def test_a_client_that_sends_slowly_is_cut_off(slow: Caller, name: str) -> None:
    parts, status = SLOW[name]
    with raw.connect(slow.server) as connection:
        answer = raw.trickle(connection, parts)
    assert raw.status_of(answer) == status
    _, _, body = answer.partition(b"\r\n\r\n")
    if body and status == 408:
        assert json.loads(body)["errors"][0]["code"] == 3046
        assert b"least rate of 1024 bytes a second" in body


def test_a_second_request_has_to_come_whole_as_the_first(slow: Caller) -> None:
    with raw.connect(slow.server) as connection:
        first = raw.trickle(connection, [raw.request("@test/a", {"text": "first"}), *singly(HEAD[:40])])
    assert raw.status_of(first) == 200
    assert b"HTTP/1.1 408" in first


def test_a_client_that_is_slow_but_goes_on_is_served(slow: Caller) -> None:
    body = json.dumps({"text": "a" * 3000}).encode()
    pieces = [body[start : start + 64] for start in range(0, len(body), 64)]
    with raw.connect(slow.server) as connection:
        connection.sendall(raw.head("@test/a", f"connection: close\r\ncontent-length: {len(body)}"))
        assert raw.status_of(raw.trickle(connection, pieces)) == 200


def test_two_hundred_slow_clients_keep_nobody_waiting_and_nothing_open(slow: Caller) -> None:
    front = slow.server.process.pid
    slow.ask("a", "warm").raise_for_status()
    before = raw.open_files(front)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(raw.connect(slow.server)) for _ in range(200)]
        for number, connection in enumerate(connections):
            connection.sendall(HEAD[: number + 1] if number % 2 else HEAD + b" " * number)
        assert slow.ask("a", "not kept waiting").status_code == 200
        answers = [raw.rest_of(connection) for connection in connections]
    assert {raw.status_of(answer) for answer in answers} == {408}
    assert eventually(lambda: raw.open_files(front) <= before)


def test_an_answer_that_nobody_takes_is_thrown_away(slow: Caller) -> None:
    front = slow.server.process.pid
    before = raw.open_files(front)
    with raw.connect(slow.server, receive_bytes=4096) as connection:
        connection.sendall(raw.request("@test/a", {"text": "a" * 8_000_000}))
        assert eventually(lambda: slow.ready()[1]["models"][0]["running"] == 0)
        assert raw.open_files(front) > before
        assert eventually(lambda: raw.open_files(front) <= before)
