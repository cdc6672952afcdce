"""What a running gateway tells of itself in /ready and /metrics, read over HTTP; knows no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.config import ConfigError

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Counts:
    """What was counted of one model since the start; `below` is how many requests took at most so many seconds."""

    requests: float = 0.0
    tokens: float = 0.0
    below: dict[float, float] = field(default_factory=dict)

    def since(self, earlier: Counts) -> Counts:
        """What came to it after `earlier`; all of it if the server was started again in between."""
        if earlier.requests > self.requests:
            return self
        below = {bound: count - earlier.below.get(bound, 0.0) for bound, count in self.below.items()}
        return Counts(self.requests - earlier.requests, self.tokens - earlier.tokens, below)

    def quantile_s(self, share: float) -> float | None:
        """The duration that this share of the requests stayed within, None without requests.

        Interpolated in its bucket as Prometheus's `histogram_quantile` does; at most the last finite bound.
        """
        bounds = sorted(self.below.items())
        wanted = share * (bounds[-1][1] if bounds else 0.0)
        if wanted <= 0:
            return None
        low, before = 0.0, 0.0
        for bound, count in bounds:
            if count >= wanted:
                return low if bound == float("inf") else low + (bound - low) * (wanted - before) / (count - before)
            low, before = bound, count
        return low


@dataclass(frozen=True)
class Look:
    """One look: what /ready says, what was counted of each model, when, and for how long the server had counted."""

    ready: dict[str, Any]
    counts: dict[str, Counts]
    at: float
    up_s: float

    def span(self, earlier: Look | None) -> tuple[float, dict[str, Counts]]:
        """Seconds since `earlier`, or since the server's start, and what was counted in them."""
        if earlier is None or earlier.up_s > self.up_s:
            return self.up_s, self.counts
        return self.at - earlier.at, {
            model: counts.since(earlier.counts.get(model, Counts())) for model, counts in self.counts.items()
        }


class Watcher:
    """Asks one gateway again and again."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # No proxy of the environment, but its certificate authorities: SSL_CERT_FILE, SSL_CERT_DIR.
        trust = httpx.create_ssl_context()
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False, verify=trust)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def look(self) -> Look:
        """How it is now; raises `ConfigError` that says what to do if no gateway answers."""
        ready, metrics = self._get("/ready"), self._get("/metrics")
        try:
            document = ready.json()
            families = list(text_string_to_metric_families(metrics.text))
            document["models"], document["memory"], document["version"]
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"what answers at {self._url} is not a gateway: say where it is with --url") from None
        began = _value(families, "process_start_time_seconds")
        return Look(document, _counts(families), time.monotonic(), max(1e-3, time.time() - began))

    def _get(self, path: str) -> httpx.Response:
        try:
            response = self._http.get(self._url + path)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ConfigError(
                    f"the certificate of {self._url} is not trusted: name the file of its authority in SSL_CERT_FILE, "
                    "and with --url a host that it is for"
                ) from error
            raise ConfigError(
                f"no gateway answers at {self._url} ({error}): start one with `gateway serve`, "
                "or say where it is with --url"
            ) from error
        if response.status_code in (400, 401, 403):
            raise ConfigError(f"the gateway at {self._url} wants a key with the scope admin: put one into GATEWAY_KEY")
        return response


def _value(families: Iterable[Metric], name: str) -> float:
    return next((sample.value for family in families for sample in family.samples if sample.name == name), time.time())


def _counts(families: Sequence[Metric]) -> dict[str, Counts]:
    requests: dict[str, float] = {}
    tokens: dict[str, float] = {}
    below: dict[str, dict[float, float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        model = sample.labels.get("model", "")
        if sample.name == "gateway_requests_total":
            requests[model] = requests.get(model, 0.0) + sample.value
        elif sample.name == "gateway_tokens_total":
            tokens[model] = tokens.get(model, 0.0) + sample.value
        elif sample.name == "gateway_request_seconds_bucket":
            below.setdefault(model, {})[float(sample.labels["le"])] = sample.value
    return {
        model: Counts(requests.get(model, 0.0), tokens.get(model, 0.0), below.get(model, {}))
        for model in {*requests, *tokens}
    }
