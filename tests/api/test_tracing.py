"""OpenTelemetry traces: a real gateway, its workers, and a real OTLP receiver that decodes what it is sent."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.api.tracing import Tracing
from gateway.config import ConfigError, Settings
from tests.chaos.test_front import ROOT
from tests.collector import Collector, collecting, values
from tests.server import Server, gateway, write_models

ROWS = (
    "{name: '@test/embed', task: text-embeddings, engine: fake, aliases: ['@test/alias']}",
    "{name: '@test/chat', task: text-generation, engine: fake_chat}",
    "{name: '@test/fails', task: text-classification, engine: 'tests.fixtures.engines.raises:Engine'}",
)
ROUTE = "/accounts/{account_id}/ai/run/{model_name}"


@dataclass(frozen=True)
class Traced:
    """A gateway that traces, a client of it, and where its spans go."""

    server: Server
    http: httpx.Client
    collector: Collector

    def ask(self, model: str, body: object, flags: str = "01") -> tuple[httpx.Response, str, str]:
        """The answer, and the ids of the trace and of the caller's span."""
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        headers = {"traceparent": f"00-{trace_id}-{span_id}-{flags}"}
        return self.http.post(self.server.run_url(model), json=body, headers=headers), trace_id, span_id


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    home = tmp_path_factory.mktemp("traced")
    models = write_models(home / "models.yaml", *ROWS)
    with collecting() as collector:
        env = {
            "PYTHONPATH": ROOT,
            "GATEWAY_TRACING": "true",
            "GATEWAY_OFFLINE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        arguments = ("--models", str(models), "--home", str(home), "--log-format", "json")
        with (
            gateway(*arguments, env=env) as server,
            httpx.Client(headers={"authorization": "Bearer any"}, timeout=60) as http,
        ):
            yield Traced(server, http, collector)


def test_one_request_is_one_trace_from_the_caller_to_the_worker(traced: Traced) -> None:
    answer, trace_id, caller = traced.ask("@test/alias", {"text": ["two words", "one"]})
    assert answer.status_code == 200
    spans = traced.collector.trace(trace_id, lambda found: len(found) == 6)
    server, whole = spans[f"POST {ROUTE}"], spans["embeddings @test/embed"]
    parents = {name: span.parent_span_id for name, span in spans.items()}
    assert parents == {
        f"POST {ROUTE}": bytes.fromhex(caller),
        "embeddings @test/embed": server.span_id,
        "queue": whole.span_id,
        "load": spans["queue"].span_id,
        "run": whole.span_id,
        "worker": spans["run"].span_id,
    }
    for outer, inner in ((whole, "queue"), (spans["queue"], "load"), (whole, "run"), (spans["run"], "worker")):
        within(outer, spans[inner])
    assert spans["load"].end_time_unix_nano > spans["load"].start_time_unix_nano
    told = values(server.attributes)
    assert server.kind == Span.SPAN_KIND_SERVER
    assert (told["http.request.method"], told["http.route"], told["http.response.status_code"]) == ("POST", ROUTE, 200)
    assert (told["gateway.request_id"], told["gateway.code"]) == (answer.headers["cf-ai-req-id"], 0)
    assert values(whole.attributes) == {
        "gateway.task": "text-embeddings",
        "gateway.model": "@test/embed",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "gateway",
        "gen_ai.request.model": "@test/alias",
        "gen_ai.response.model": "@test/embed",
        "gen_ai.response.id": answer.headers["cf-ai-req-id"],
        "gen_ai.usage.input_tokens": 3,
    }
    assert values(spans["run"].attributes) == {"gateway.batch.items": 1}
    assert values(spans["worker"].attributes)["process.pid"] not in (0, traced.server.process.pid)
    assert traced.collector.resource["service.name"] == "gateway"


def within(outer: Span, inner: Span) -> None:
    """The processes share a clock; converting its moments one by one may cost a millisecond."""
    slack = 1_000_000
    assert outer.start_time_unix_nano - slack <= inner.start_time_unix_nano
    assert inner.start_time_unix_nano <= inner.end_time_unix_nano
    assert inner.end_time_unix_nano <= outer.end_time_unix_nano + slack


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_tells_its_tokens_and_a_stream_its_first_piece(traced: Traced, stream: bool) -> None:
    answer, trace_id, _ = traced.ask("@test/chat", {"prompt": "one two three", "stream": stream, "max_tokens": 5})
    events = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: {")]
    usage = json.loads(events[-1])["usage"] if stream else answer.json()["result"]["usage"]
    spans = traced.collector.trace(trace_id, lambda found: "worker" in found and "chat @test/chat" in found)
    told = values(spans["chat @test/chat"].attributes)
    assert told["gen_ai.usage.input_tokens"] == usage["prompt_tokens"] > 0
    assert told["gen_ai.usage.output_tokens"] == usage["completion_tokens"] > 0
    assert [event.name for event in spans["run"].events] == ["first piece"] * stream
    assert spans["worker"].parent_span_id == spans["run"].span_id


def test_a_failure_is_an_error_with_its_code(traced: Traced) -> None:
    answer, trace_id, _ = traced.ask("@test/fails", {"text": "poison"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, 3043)
    spans = traced.collector.trace(trace_id, lambda found: "text-classification @test/fails" in found)
    whole = spans["text-classification @test/fails"]
    assert whole.status.code == Status.STATUS_CODE_ERROR
    assert values(whole.attributes)["error.type"] == "3043"


def test_what_no_model_accepted_has_the_server_span_alone(traced: Traced) -> None:
    answer, trace_id, _ = traced.ask("@test/nobody", {"text": "x"})
    assert answer.status_code == 400
    later = traced.ask("@test/embed", {"text": "x"})[1]
    traced.collector.trace(later, lambda found: "worker" in found)
    (server,) = traced.collector.trace(trace_id, bool).values()
    assert values(server.attributes)["gateway.code"] == 5007
    assert server.status.code == Status.STATUS_CODE_UNSET


def test_a_caller_who_does_not_trace_is_not_traced(traced: Traced) -> None:
    assert traced.ask("@test/embed", {"text": "x"}, flags="00")[0].status_code == 200
    quiet = traced.ask("@test/embed", {"text": "x"}, flags="00")[1]
    later = traced.ask("@test/embed", {"text": "x"})[1]
    traced.collector.trace(later, lambda found: "worker" in found)
    assert quiet not in {span.trace_id.hex() for span in traced.collector.spans}


def test_log_lines_carry_the_trace(traced: Traced) -> None:
    answer, trace_id, _ = traced.ask("@test/embed", {"text": "x"})
    traced.collector.trace(trace_id, lambda found: "worker" in found)
    lines = [json.loads(line) for line in list(traced.server.log) if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == answer.headers["cf-ai-req-id"]]
    assert line["trace_id"] == trace_id


@pytest.mark.parametrize("answers", [False, True], ids=["refuses", "never answers"])
def test_a_dead_collector_costs_no_request_and_no_clean_stop(tmp_path: Path, answers: bool) -> None:
    models = write_models(tmp_path / "models.yaml", ROWS[0])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not answers:
            listener.close()
        env = {
            "GATEWAY_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
        }
        with (
            gateway("--models", str(models), "--home", str(tmp_path), env=env) as server,
            httpx.Client(headers={"authorization": "Bearer any"}, timeout=60) as http,
        ):
            answered = [http.post(server.run_url("@test/embed"), json={"text": "x"}) for _ in range(50)]
            assert {answer.status_code for answer in answered} == {200}
            assert server.stop() == 0


@pytest.mark.parametrize(
    ("env", "offline", "reason"),
    [
        ({}, False, "needs the collector's address in OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4318"}, True, "GATEWAY_OFFLINE forbids"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a.test/v1/traces"}, True, "GATEWAY_OFFLINE forbids"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            False,
            "OTEL_EXPORTER_OTLP_PROTOCOL: grpc",
        ),
    ],
)
def test_what_cannot_be_traced_says_so_at_the_start(
    env: dict[str, str], offline: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=reason):
        Tracing.of(Settings(tracing=True, offline=offline))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match="needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"):
        Tracing.of(Settings(tracing=True))


def test_off_it_imports_nothing_even_with_a_collector_in_the_environment() -> None:
    script = """
import sys
from gateway.app import create_app
from gateway.config import Settings
create_app(Settings(), [])
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""
    env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
