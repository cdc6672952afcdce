"""A real OTLP/HTTP receiver on loopback that keeps the spans it is sent; knows nothing of the gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

LIMIT_S = 60.0


def values(pairs: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return None if kind is None else getattr(pair.value, kind)


@dataclass
class Collector:
    """The spans of each trace by name, as they come."""

    url: str
    resource: dict[str, Any] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        """Keep the spans of one export."""
        with self.news:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = values(of_resource.resource.attributes)
                self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
            self.news.notify_all()

    def trace(self, trace_id: str, is_whole: Callable[[dict[str, Span]], bool]) -> dict[str, Span]:
        """The trace's spans by name, once `is_whole` says so; fails after `LIMIT_S`."""

        def found() -> dict[str, Span]:
            return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}

        with self.news:
            assert self.news.wait_for(lambda: is_whole(found()), LIMIT_S), list(found())
            return found()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            collector.take(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
