"""How long is waited before the next try."""

from __future__ import annotations

import pytest

from gateway.runtime.backoff import backoff_s


@pytest.mark.parametrize(
    ("failures", "delay_s"), [(-1, 0.0), (0, 0.0), (1, 0.25), (2, 0.5), (3, 1.0), (8, 30.0), (10_000, 30.0)]
)
def test_the_delay_is_nothing_without_a_failure_then_doubles_up_to_a_bound(failures: int, delay_s: float) -> None:
    assert backoff_s(failures) == delay_s
