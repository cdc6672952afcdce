"""Whatever another server does, each request ends, in bounded time and memory, with a failure that says enough."""

from __future__ import annotations

import json
import logging
import socket
import threading

import pytest

from gateway.config import ConfigError
from gateway.engines.llm import Engine
from gateway.engines.llm.upstream import exchange as exchange_module
from gateway.errors import (
    BadInput,
    ContextExceeded,
    GatewayError,
    InferenceFailed,
    InvalidParameter,
    ModelUnavailable,
    Overloaded,
    RequestTimeout,
    RequestTooLarge,
    WorkerLost,
)
from gateway.tasks import Piece
from tests.engines.llm.upstream.asking import HELLO, Asked, ask, load, serving
from tests.engines.llm.upstream.scripted import SSE, Exchange, Script, Scripted, chunk, scripted, whole

MIB = 1 << 20


def refusing(status: int, body: object, headers: str = "content-type: application/json\r\n") -> Script:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda exchange: exchange.send(whole(status, data, headers))


VLLM_LENGTH = (
    "This model's maximum context length is 4096 tokens. However, you requested 5005 tokens "
    "(5000 in the messages, 5 in the completion)."
)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, {"error": {"message": "top_p must be in (0, 1]", "param": "top_p"}}, BadInput, "'/top_p' was refused"),
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "too large"}]}, BadInput, "'/seed' was refused"),
        (400, {"error": {"message": "Field 'repeat_penalty': no"}}, BadInput, "'/repetition_penalty' was refused"),
        (400, {"object": "error", "message": "no such thing"}, InvalidParameter, "refused the request: no such thing"),
        (400, {"error": {"message": VLLM_LENGTH}}, ContextExceeded, r"\(5005\) exceeded .* \(4096\)"),
        (400, {"error": {"message": "secret at http://10.0.0.7:9/x"}}, InvalidParameter, r"secret at \[…\]$"),
        (400, b"<html>no", InvalidParameter, "<html>no"),
        (401, {"error": {"message": "bad key"}}, ModelUnavailable, "refuses its requests; the log says why"),
        (403, {}, ModelUnavailable, "the log says why"),
        (404, {"error": {"message": "no model x"}}, ModelUnavailable, "the log says why"),
        (307, {}, ModelUnavailable, "the log says why"),
        (413, {}, RequestTooLarge, "refuses a request of this size"),
        (429, {}, Overloaded, "Capacity temporarily exceeded"),
        (500, {"error": {"message": "CUDA out of memory"}}, InferenceFailed, "failed on this input$"),
        (503, {}, Overloaded, "Capacity temporarily exceeded"),
        (504, {}, RequestTimeout, "Request timeout"),
    ],
)
def test_a_refusal_of_each_class_becomes_ours(status: int, body: object, error: type[GatewayError], words: str) -> None:
    headers = "content-type: application/json\r\nlocation: http://127.0.0.1:1/v1\r\n"
    with (
        serving(refusing(status, body, headers)) as (engine, server),
        pytest.raises(GatewayError, match=words) as caught,
    ):
        ask(engine, **HELLO)
    assert type(caught.value) is error
    assert len(server.received) == 1


def test_a_refused_key_is_for_the_operator_alone(caplog: pytest.LogCaptureFixture) -> None:
    with serving(refusing(401, {"error": {"message": "bad key for host gpu-7"}})) as (engine, _):
        with pytest.raises(ModelUnavailable) as caught:
            ask(engine, **HELLO)
        assert "gpu-7" not in caught.value.detail


@pytest.mark.parametrize(("asked", "given"), [("7", 7), ("0.1", 1), ("86400", 60), ("Sun, 22 Nov 2026", 1)])
def test_a_busy_server_says_when_to_come_again_within_bounds(asked: str, given: float) -> None:
    with serving(refusing(503, {}, f"retry-after: {asked}\r\n")) as (engine, _):
        with pytest.raises(Overloaded) as caught:
            ask(engine, **HELLO)
        assert caught.value.retry_after_s == given


def test_a_default_length_is_shortened_to_what_the_server_has_room_for() -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.body["max_tokens"] == 200:
            exchange.send(whole(400, json.dumps({"error": {"message": refusal}}).encode()))
            return
        exchange.begin()
        exchange.send(chunk({"content": "ok"}, "length"))

    refusal = "This model's maximum context length is 4096 tokens and your request has 4000 input tokens"
    with serving(answer) as (engine, server):
        assert ask(engine, prompt="Hi", default_tokens=200).choices[0].text == "ok"
        assert [exchange.body["max_tokens"] for exchange in server.received] == [200, 96]
        with pytest.raises(ContextExceeded, match=r"\(4000\) exceeded .* \(4096\)"):
            ask(engine, prompt="Hi", max_tokens=200)


GARBAGE = {
    "no HTTP": lambda exchange: exchange.send(b"\x00\x01 garbage \r\n\r\n"),
    "a page": refusing(200, b"<html>", "content-type: text/html\r\n"),
    "no JSON": refusing(200, b"{", "content-type: application/json\r\n"),
    "a list": refusing(200, b"data: []\n\n", SSE),
    "text as a number": refusing(200, chunk({"content": 5}), SSE),
    "a choice that nobody asked for": refusing(200, b'data: {"choices": [{"index": 7}]}\n\n', SSE),
    "calls that are none": refusing(200, chunk({"tool_calls": ["f"]}), SSE),
    "calls without number": refusing(
        200, chunk({"tool_calls": [{"index": at, "function": {}} for at in range(2000)]}), SSE
    ),
    "a call without end": refusing(200, 2 * chunk({"tool_calls": [{"function": {"arguments": "x" * 600_000}}]}), SSE),
    "an abort": refusing(200, chunk({"content": "a"}, "abort"), SSE),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_the_servers_fault_and_not_repeated(kind: str) -> None:
    with (
        serving(GARBAGE[kind]) as (engine, _),
        pytest.raises(InferenceFailed, match="gave an answer that cannot be read"),
    ):
        ask(engine, **HELLO)


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MAX_ANSWER_BYTES", 10_000)
    endless = b"".join(chunk({"content": "x" * 1000}) for _ in range(20))
    with serving(refusing(200, endless, SSE)) as (engine, _), pytest.raises(InferenceFailed, match="cannot be read"):
        ask(engine, **HELLO)


@pytest.mark.parametrize("start", [b"data: ", b"", b'data: {}\n\ndata: "'])
def test_a_flood_in_one_line_is_cut_off(start: bytes) -> None:
    taken: list[int] = []
    over = threading.Event()

    def flood(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(start)
        try:
            for count in range(100):
                exchange.send(b"x" * MIB)
                taken.append(count)
        except OSError:
            over.set()

    with serving(flood) as (engine, _):
        with pytest.raises(InferenceFailed, match="cannot be read"):
            ask(engine, **HELLO)
        assert over.wait(30)
    # The limit, and what the kernel took in advance.
    assert len(taken) < 20


def test_a_server_that_never_answers_is_given_up() -> None:
    with (
        serving(Exchange.until_closed, timeout_s=0.2, connect_timeout_s=0.1) as (engine, _),
        pytest.raises(RequestTimeout),
    ):
        ask(engine, **HELLO)


def test_a_server_that_falls_silent_is_given_up() -> None:
    def stall(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "so"}))
        exchange.until_closed()

    with serving(stall, stall_timeout_s=0.2) as (engine, _), pytest.raises(RequestTimeout):
        ask(engine, **HELLO)


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    def cut(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "half"}))

    with serving(cut) as (engine, _), pytest.raises(WorkerLost, match="broke the answer off"):
        ask(engine, **HELLO)


def test_a_failure_in_the_middle_ends_the_answer() -> None:
    error = b'data: {"error": {"message": "engine died at 10.1.1.1", "code": 500}}\n\n'
    with (
        serving(refusing(200, chunk({"content": "a"}) + error, SSE)) as (engine, _),
        pytest.raises(InferenceFailed, match="failed on this input"),
    ):
        ask(engine, **HELLO)


def test_a_server_that_is_gone_is_reported_and_new_requests_refused() -> None:
    lost, begun = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> None:
        begun.set()
        exchange.until_closed()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(hold, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
        engine = load({"url": server.url})
        engine.watch(lost.set)
        engine.admit(1, Asked(**HELLO))
        assert begun.wait(30)
        listener.shutdown(socket.SHUT_RDWR)
    news: list[Piece | GatewayError] = []
    with pytest.raises(Overloaded) as caught:
        _refused(engine, news)
    assert caught.value.retry_after_s == 1
    assert lost.wait(30)
    with pytest.raises(Overloaded):
        engine.admit(3, Asked(**HELLO))
    while not news:
        news += [piece for _, piece in engine.step()]
    assert isinstance(news[0], WorkerLost)
    engine.close()


def _refused(engine: Engine, others: list[Piece | GatewayError]) -> None:
    """Ask while another stream is inside, whose news are kept in `others`."""
    engine.admit(2, Asked(**HELLO))
    while True:
        for id, piece in engine.step():
            if id == 1:
                others.append(piece)
            elif isinstance(piece, GatewayError):
                raise piece


def test_a_server_that_is_not_there_is_no_model() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ModelUnavailable, match="not ready: it does not answer") as caught:
        load({"url": f"http://127.0.0.1:{port}/v1"})
    assert str(port) not in caught.value.detail


def test_a_server_without_a_list_needs_a_name_in_the_row() -> None:
    with scripted(refusing(200, chunk({"content": "ok"}, "stop"), SSE)) as server:
        server.models = whole(404, b"{}")
        with pytest.raises(ConfigError, match=r"options.model: must be set"):
            load({"url": server.url})
        engine = load({"url": server.url, "model": "mine"})
        assert ask(engine, **HELLO).choices[0].text == "ok"
        assert server.received[0].body["model"] == "mine"
        engine.close()


def test_no_log_line_has_the_key(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("UPSTREAM_KEY", "k-12345")
    with serving(refusing(401, {}), api_key_env="UPSTREAM_KEY") as (engine, server):
        with pytest.raises(ModelUnavailable):
            ask(engine, **HELLO)
        assert server.received[0].headers["authorization"] == "Bearer k-12345"
    assert "k-12345" not in caplog.text
