"""What /metrics tells of media at addresses: how each fetch ended, how many bytes were read, how long it took."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from gateway.api.remote.fetch import Fetcher
from gateway.api.remote.hosts import HostList
from gateway.api.remote.media import RemoteMedia
from gateway.api.remote.places import places
from gateway.errors import BadInput, Overloaded
from gateway.runtime.metrics import Metrics
from tests.api.conftest import until
from tests.api.remote.pictures import CAT, DOG, Pictures, answer, pictures, redirect

MUCH = 1 << 20


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Pictures]:
    async with pictures() as site:
        site.answers |= {
            "/loop": redirect("/loop"),
            "/notes.txt": answer(b"words"),
            "/large.png": answer(bytes(2 * MUCH)),
        }
        yield site


def outcomes(registry: CollectorRegistry) -> Mapping[str, float]:
    """How many fetches ended in which way."""
    samples = (sample for family in registry.collect() for sample in family.samples)
    found = {one.labels["outcome"]: one.value for one in samples if one.name == "gateway_media_fetches_total"}
    return {outcome: count for outcome, count in found.items() if count}


def total(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value(name)


async def bring(site: Pictures, metrics: Metrics, *addresses: str, **options: object) -> None:
    media = RemoteMedia(Fetcher(HostList([site.url("", "127.0.0.1")])), metrics, **options)  # type: ignore[arg-type]
    await media.bring(places({"image": list(addresses)}, ["/image/*"]), MUCH)


@pytest.mark.parametrize(
    ("path", "outcome", "size_bytes"),
    [
        ("/cat.png", "fetched", len(CAT)),
        ("/gone.png", "failed", 0),
        ("/loop", "failed", 0),
        ("/notes.txt", "no_picture", 5),
        ("/large.png", "too_large", None),
        ("/silent", "late", len(CAT)),
    ],
)
async def test_a_fetch_counts_by_how_it_ended(site: Pictures, path: str, outcome: str, size_bytes: int | None) -> None:
    metrics = Metrics()
    options = {"deadline_s": 1.0} if outcome == "late" else {}
    fetching = bring(site, metrics, site.url(path, "127.0.0.1"), **options)
    if outcome == "fetched":
        await fetching
    else:
        with pytest.raises(BadInput):
            await fetching
    assert outcomes(metrics.registry) == {outcome: 1}
    assert total(metrics.registry, "gateway_media_fetch_seconds_count") == 1
    read_bytes = total(metrics.registry, "gateway_media_bytes_total") or 0
    assert read_bytes == size_bytes if size_bytes is not None else read_bytes > MUCH


async def test_each_address_of_a_request_counts(site: Pictures) -> None:
    metrics = Metrics()
    cat, dog = (site.url(path, "127.0.0.1") for path in ("/cat.png", "/dog.jpg"))
    with pytest.raises(BadInput):
        await bring(site, metrics, cat, site.url("/cat.png", "localhost"), dog, "http://127.0.0.1:1/cat.png")
    assert outcomes(metrics.registry) == {"fetched": 2, "refused": 2}
    assert total(metrics.registry, "gateway_media_bytes_total") == len(CAT) + len(DOG)
    assert total(metrics.registry, "gateway_media_fetch_seconds_count") == 4


async def test_a_server_that_is_not_there_counts_as_unreachable(site: Pictures) -> None:
    metrics = Metrics()
    media = RemoteMedia(Fetcher(HostList(["http://127.0.0.1:1"])), metrics)
    with pytest.raises(BadInput):
        await media.bring(places({"image": "http://127.0.0.1:1/cat.png"}, ["/image"]), MUCH)
    assert outcomes(metrics.registry) == {"unreachable": 1}


async def test_who_gets_no_turn_counts_as_busy(site: Pictures) -> None:
    metrics = Metrics()
    with pytest.raises(Overloaded):
        await bring(site, metrics, site.url("/cat.png", "127.0.0.1"), deadline_s=0.05, turns=asyncio.Semaphore(0))
    assert outcomes(metrics.registry) == {"busy": 1}


async def test_a_caller_who_leaves_counts_as_left(site: Pictures) -> None:
    metrics = Metrics()
    asking = asyncio.create_task(bring(site, metrics, site.url("/silent", "127.0.0.1")))
    await until(lambda: bool(site.heads))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert outcomes(metrics.registry) == {"left": 1}
