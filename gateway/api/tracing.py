"""OpenTelemetry traces (docs/observability.md): spans made of what was noted of a request; knows no route."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway.api import collector
from gateway.api.exchange import Exchange
from gateway.config import Settings
from gateway.runtime.timing import Timing

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

# How long the last spans may take to be sent at the end.
FLUSH_S = 2.0
# `gen_ai.operation.name` of OpenTelemetry's conventions, for the tasks that have one there.
OPERATIONS = {"text-generation": "chat", "text-embeddings": "embeddings"}


class Tracing:
    """Sends spans to the collector that the environment names, from a thread of its own; never waits for it.

    What the collector does not take is lost: the queue is bounded (`OTEL_BSP_MAX_QUEUE_SIZE`).
    """

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self._tracer = provider.get_tracer("gateway", __version__)

    @classmethod
    def of(cls, settings: Settings) -> Tracing | None:
        """What the settings ask for, None if that is nothing; then no part of the library is imported.

        Raises `ConfigError` without an endpoint, without the library, or if offline and the endpoint is elsewhere.
        """
        return cls(collector.provider(offline=settings.offline)) if settings.tracing else None

    def begin(self, exchange: Exchange) -> bool:
        """Note the request's server span, which is the current one, if it is to be exported; says whether it is."""
        from opentelemetry.trace import get_current_span

        context = get_current_span().get_span_context()
        if context.trace_flags.sampled:
            exchange.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        return bool(exchange.traceparent)

    def note(self, exchange: Exchange) -> None:
        """Tell the server span what is known when the answer's head goes out."""
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes({"gateway.request_id": exchange.request_id, "gateway.code": exchange.code})

    def end(self, exchange: Exchange) -> None:
        """Make the spans below the server span, which is the current one, once the request is over."""
        timing = exchange.timing
        if not exchange.traceparent or not timing.queued_at:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode

        ended_at = timing.ended_at or time.monotonic()
        whole = self._open(_name(exchange), timing.queued_at, None, _attributes(exchange), kind=SpanKind.INTERNAL)
        if exchange.code:
            whole.set_attribute("error.type", str(exchange.code))
            whole.set_status(Status(StatusCode.ERROR))
        self._below(timing, whole, ended_at)
        whole.end(_nanoseconds(ended_at))

    def _below(self, timing: Timing, whole: Span, ended_at: float) -> None:
        """Waiting, the load within it, and the run with what the worker itself tells of it."""
        taken_at = timing.taken_at or ended_at
        queue = self._span("queue", timing.queued_at, taken_at, whole, {})
        if timing.load_s:
            self._span("load", timing.load_ended_at - timing.load_s, timing.load_ended_at, queue, {})
        if not timing.taken_at:
            return
        run = self._span("run", taken_at, ended_at, whole, {"gateway.batch.items": timing.batch_items}, timing.first_at)
        if timing.worked_until:
            self._span("worker", timing.worked_from, timing.worked_until, run, {"process.pid": timing.worker})

    def _open(self, name: str, began_at: float, parent: Span | None, attributes: dict[str, Any], **more: Any) -> Span:
        from opentelemetry.trace import set_span_in_context

        context: Context | None = None if parent is None else set_span_in_context(parent)
        began = _nanoseconds(began_at)
        return self._tracer.start_span(name, context=context, attributes=attributes, start_time=began, **more)

    def _span(
        self,
        name: str,
        began_at: float,
        ended_at: float,
        parent: Span,
        attributes: dict[str, Any],
        first_at: float = 0.0,
    ) -> Span:
        span = self._open(name, began_at, parent, attributes)
        if first_at:
            span.add_event("first piece", timestamp=_nanoseconds(first_at))
        span.end(_nanoseconds(ended_at))
        return span

    async def stop(self) -> None:
        """Send what is left within `FLUSH_S`; what is not sent by then is lost."""
        # A daemon: the library itself waits half a minute for a collector that does not answer.
        last = threading.Thread(target=self.provider.shutdown, name="last spans", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, FLUSH_S)


def framework_telemetry(tracing: Tracing | None) -> TelemetryConfig:
    """What FastAPI does: the server span of a request and nothing else, into our provider or not at all.

    Left to itself it asks the environment for providers, anew with each request.
    """
    return {
        "tracing": tracing is not None,
        "tracer_provider": tracing.provider if tracing is not None else None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }


def _nanoseconds(moment: float) -> int:
    """A moment of `time.monotonic` as nanoseconds since 1970."""
    return time.time_ns() - round((time.monotonic() - moment) * 1e9)


def _name(exchange: Exchange) -> str:
    return f"{OPERATIONS.get(exchange.task, exchange.task)} {exchange.model}"


def _attributes(exchange: Exchange) -> dict[str, Any]:
    """The conventions' attributes for generative models where the task is theirs, and what the gateway has besides."""
    found: dict[str, Any] = {"gateway.task": exchange.task, "gateway.model": exchange.model}
    if (operation := OPERATIONS.get(exchange.task)) is None:
        return found
    found |= {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "gateway",
        "gen_ai.request.model": exchange.asked,
        "gen_ai.response.model": exchange.model,
        "gen_ai.response.id": exchange.request_id,
    }
    if (usage := exchange.timing.usage) is not None:
        found["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        if operation == "chat":
            found["gen_ai.usage.output_tokens"] = usage.completion_tokens
            found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    return found
