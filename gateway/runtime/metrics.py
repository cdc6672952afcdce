"""What is counted, in Prometheus's format; knows no HTTP and no process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Literal, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.runtime.memory import Ledger
from gateway.tasks import Usage

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128)
# How asking for the media at an address ends: with it, or not because the address is not permitted, its server is not
# there, sends no file, too much, not in time or no picture, because too much is being fetched, or the caller left.
FetchOutcome = Literal["fetched", "refused", "unreachable", "failed", "too_large", "late", "no_picture", "busy", "left"]


class Metrics:
    """All counters of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "gateway_requests", "Answered requests", ("model", "task", "status", "code"), registry=registry
        )
        self.seconds = Histogram(
            "gateway_request_seconds",
            "From acceptance to the last byte",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting = Gauge("gateway_queue_items", "Requests waiting for a worker", ("model",), registry=registry)
        self.inside = Gauge("gateway_running_items", "Requests inside a worker", ("model",), registry=registry)
        self.batch_items = Histogram(
            "gateway_batch_items", "Requests in one batch", ("model",), buckets=_ITEMS, registry=registry
        )
        self.tokens = Counter("gateway_tokens", "Tokens by the model's tokenizer", ("model", "kind"), registry=registry)
        self.neurons = Counter(
            "gateway_neurons", "What the answers would have cost on Cloudflare", ("model",), registry=registry
        )
        self.load_seconds = Gauge(
            "gateway_load_seconds", "The last load, by part", ("model", "part"), registry=registry
        )
        self.workers = Gauge("gateway_workers", "Loaded workers", ("model",), registry=registry)
        self.loads = Counter("gateway_loads", "Loads that succeeded", ("model",), registry=registry)
        self.unloads = Counter("gateway_unloads", "Workers that were let go", ("model", "reason"), registry=registry)
        self.refusals = Counter(
            "gateway_memory_refusals", "Requests refused for want of memory", ("model",), registry=registry
        )
        self.reloads = Counter("gateway_reloads", "Changes of models.yaml at run time", ("result",), registry=registry)
        self.fetches = Counter("gateway_media_fetches", "Media asked for at addresses", ("outcome",), registry=registry)
        for outcome in get_args(FetchOutcome):
            self.fetches.labels(outcome)
        self.media_bytes = Counter("gateway_media_bytes", "Bytes read from addresses of media", registry=registry)
        self.fetch_seconds = Histogram(
            "gateway_media_fetch_seconds",
            "From an address to its media or to none, waiting for a turn included",
            buckets=_SECONDS[2:13],
            registry=registry,
        )
        self.restarts = Counter(
            "gateway_worker_restarts", "Workers that ended unasked", ("model", "reason"), registry=registry
        )

    def observe_request(self, model: str, task: str, status: int, code: int, seconds: float) -> None:
        """Count one answered request; `code` is 0 for a success."""
        self.requests.labels(model, task, str(status), str(code)).inc()
        self.seconds.labels(model).observe(seconds)

    def observe_load(self, model: str, seconds: Mapping[str, float]) -> None:
        """Count one load, and keep where its seconds went."""
        self.loads.labels(model).inc()
        for part, value in seconds.items():
            self.load_seconds.labels(model, part).set(value)

    def count_usage(self, model: str, usage: Usage) -> None:
        """Count the tokens of one answer, and its neurons if they are known."""
        self.tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self.tokens.labels(model, "completion").inc(usage.completion_tokens)
        if usage.neurons is not None:
            self.neurons.labels(model).inc(usage.neurons)

    def observe_fetch(self, outcome: FetchOutcome, seconds: float) -> None:
        """Count one address whose media was asked for."""
        self.fetches.labels(outcome).inc()
        self.fetch_seconds.observe(seconds)

    def watch(self, ledger: Ledger) -> None:
        """Show the ledger as it is when asked."""
        self.registry.register(LedgerCollector(ledger))

    def follow(
        self, model: str, waiting: Callable[[], float], inside: Callable[[], float], ready: Callable[[], float]
    ) -> None:
        """Show a model's gauges as they are when asked: requests waiting and inside, and loaded workers."""
        self.waiting.labels(model).set_function(waiting)
        self.inside.labels(model).set_function(inside)
        self.workers.labels(model).set_function(ready)

    def forget(self, model: str) -> None:
        """Show a model's gauges no longer."""
        for gauge in (self.waiting, self.inside, self.workers):
            with suppress(KeyError):
                gauge.remove(model)

    def render(self) -> tuple[bytes, str]:
        """The exposition text and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class LedgerCollector(Collector):
    """Budgets, reservations and use of memory, read from the ledger when they are asked for."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample a device, and one a model and device."""
        budget = GaugeMetricFamily("gateway_memory_budget_bytes", "What models may take", labels=["device"])
        for device, size in self._ledger.budgets.items():
            budget.add_metric([device], size)
        yield budget
        for name, text, sizes in (
            ("gateway_memory_reserved_bytes", "What workers may take", self._ledger.by_holder("held")),
            ("gateway_memory_used_bytes", "What workers took when last measured", self._ledger.by_holder("used")),
        ):
            family = GaugeMetricFamily(name, text, labels=["model", "device"])
            for (model, device), size in sizes.items():
                family.add_metric([model, device], size)
            yield family
