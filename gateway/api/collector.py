"""The collector that spans are sent to, as OpenTelemetry's own variables name it; knows no request."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import __version__
from gateway.config import ConfigError
from gateway.engines.outbound import is_this_machine

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def provider(*, offline: bool) -> TracerProvider:
    """Makes spans of the service `gateway`, unless the environment names it otherwise, and sends them.

    Raises `ConfigError` without an endpoint, without the library, or if `offline` and the endpoint is elsewhere.
    """
    _check_environment(offline=offline)
    try:
        return _provider()
    except ImportError as error:
        raise ConfigError(
            "GATEWAY_TRACING needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
        ) from error


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = Resource.create({"service.name": "gateway", "service.version": __version__})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _check_environment(*, offline: bool) -> None:
    """The endpoint, headers, sampler and so on are the library's own variables; only what it would guess is checked."""
    endpoint = next(filter(None, map(os.environ.get, ENDPOINTS)), None)
    if endpoint is None:
        raise ConfigError(f"GATEWAY_TRACING needs the collector's address in {ENDPOINTS[1]}")
    protocol = next(filter(None, map(os.environ.get, PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigError(f"{PROTOCOLS[1]}: {protocol} is not spoken here; the collector's http/protobuf is")
    if offline and not is_this_machine(urlsplit(endpoint).hostname or ""):
        raise ConfigError("the collector's address leads to another machine, which GATEWAY_OFFLINE forbids")
