"""Streams from another server keep apart, wait for slow callers, and end with them."""

from __future__ import annotations

import threading

import pytest

from gateway.engines.llm.upstream import event_loop
from gateway.errors import GatewayError
from gateway.tasks import Origin, Piece, Usage
from tests.engines.llm.upstream.asking import HELLO, Asked, ask, pieces, serving
from tests.engines.llm.upstream.scripted import SSE, Exchange, chunk, whole


def test_a_dropped_stream_closes_its_connection_at_once() -> None:
    closed = threading.Event()

    def endless(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "a"}))
        exchange.until_closed()
        closed.set()

    with serving(endless) as (engine, _):
        engine.admit(5, Asked(**HELLO))
        while not engine.step():
            pass
        engine.drop(5)
        assert closed.wait(30)
        assert engine.step() == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_without_an_end_costs_what_it_gave(fails: bool) -> None:
    def broken(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "a"}) + chunk({"reasoning_content": "b"}))
        if not fails:
            exchange.until_closed()

    with serving(broken) as (engine, _):
        engine.admit(5, Asked(**HELLO))
        given: list[Piece | GatewayError] = []
        while len(given) < 2 + fails:
            given += [piece for _, piece in engine.step()]
        assert isinstance(given[-1], GatewayError) is fails
        assert engine.drop(5) == Usage(completion_tokens=2)
        assert engine.drop(5) is None


def test_counts_that_come_all_along_are_passed_on_and_kept() -> None:
    counts = [{"prompt_tokens": 7, "completion_tokens": tokens} for tokens in (0, 2)]

    def counting(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "a"}, usage=counts[0]) + chunk({"content": "b"}, usage=counts[1]))
        exchange.until_closed()

    with serving(counting) as (engine, server):
        engine.admit(5, Asked(**HELLO))
        given: list[Piece | GatewayError] = []
        while len(given) < 2:
            given += [piece for _, piece in engine.step()]
        assert [piece.usage for piece in given if isinstance(piece, Piece)] == [Usage(7, 0), Usage(7, 2)]
        assert engine.drop(5) == Usage(7, 2)
    assert server.received[0].body["stream_options"]["continuous_usage_stats"] is True


def test_a_server_that_closes_what_it_promised_to_keep_loses_no_request() -> None:
    body = chunk({"content": "a"}, "stop") + b"data: [DONE]\n\n"

    def closing(exchange: Exchange) -> None:
        exchange.closes = True
        exchange.send(whole(200, body, SSE + "connection: keep-alive\r\nkeep-alive: timeout=5, max=100\r\n"))

    with serving(closing) as (engine, _):
        for _ in range(50):
            assert ask(engine, **HELLO).choices[0].text == "a"


def test_an_open_end_does_not_hold_an_answer_back() -> None:
    def open_ended(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "a"}, "stop") + b"data: [DONE]\n\n")
        exchange.until_closed()

    with serving(open_ended) as (engine, _):
        assert ask(engine, **HELLO).choices[0].text == "a"


def test_the_trace_goes_along_if_there_is_one() -> None:
    body = chunk({"content": "a"}, "stop") + b"data: [DONE]\n\n"
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    with serving(lambda exchange: exchange.send(whole(200, body, SSE))) as (engine, server):
        for origin in (Origin(), Origin(traceparent=traceparent)):
            asked = Asked(**HELLO)
            asked.origin = origin
            pieces(engine, asked)
    assert [exchange.headers.get("traceparent") for exchange in server.received] == [None, traceparent]


def test_a_stream_that_nobody_reads_is_not_read_either() -> None:
    sent: list[int] = []
    stuck = threading.Event()

    def torrent(exchange: Exchange) -> None:
        exchange.begin()
        exchange.connection.settimeout(1)
        try:
            for count in range(10_000):
                exchange.send(chunk({"content": "x" * 10_000}))
                sent.append(count)
        except TimeoutError:
            stuck.set()

    with serving(torrent) as (engine, _):
        engine.admit(1, Asked(**HELLO))
        assert stuck.wait(30)
        taken = 0
        while news := engine.step():
            taken += sum(len(piece.text) for _, piece in news if not isinstance(piece, GatewayError))
        # What lay between the threads, and what the kernel and one read held when the sender gave up.
        assert event_loop.MAX_WAITING_BYTES < taken < 10_000 * len(sent) + 10_000
        assert len(sent) < 2_000
        engine.drop(1)


def test_streams_side_by_side_keep_apart() -> None:
    def echo(exchange: Exchange) -> None:
        exchange.begin()
        word = exchange.body["messages"][0]["content"]
        for _ in range(50):
            exchange.send(chunk({"content": word}))
        exchange.send(chunk({}, "stop") + b"data: [DONE]\n\n")

    with serving(echo) as (engine, _):
        told = dict.fromkeys(range(8), "")
        open_ids = set(told)
        for id in told:
            engine.admit(id, Asked(prompt=f"<{id}>"))
        while open_ids:
            for id, piece in engine.step():
                assert not isinstance(piece, GatewayError)
                told[id] += piece.text
                if piece.is_last:
                    open_ids.discard(id)
        assert told == {id: f"<{id}>" * 50 for id in told}
