"""Memory of a real GPU: what a model takes is accounted for, and all of it comes back when its process ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gateway.config import MIB
from gateway.tasks import Origin
from tests.runtime.conftest import label, means, serving, spec, until

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TAKEN_MIB = 512
# One hundredth of the smallest cards that models are served from.
TOLERANCE_BYTES = 80 * MIB


def used_bytes() -> int:
    """What all processes take of the first GPU."""
    free, total = torch.cuda.mem_get_info(0)
    return total - free


async def test_what_a_model_takes_of_a_gpu_is_accounted_for_and_comes_back(tmp_path: Path) -> None:
    torch.zeros(1, device="cuda:0")  # the context of this process is part of the baseline
    baseline, using = used_bytes(), means(1 << 16, tmp_path)
    row = spec("takes_gpu", device="cuda:0", options={"mib": TAKEN_MIB})
    async with serving(row, using=using) as registry:
        model = registry.get("takes_gpu")
        assert label(await model.infer(model.task.parse({"text": "a"}), Origin("r"))) == "a"
        assert used_bytes() > baseline + TAKEN_MIB * MIB
        assert using.steward.ledger.reserved_bytes("cuda:0") >= TAKEN_MIB * MIB
        model.keep_alive(0)
        await until(lambda: used_bytes() <= baseline + TOLERANCE_BYTES)
        assert using.steward.ledger.reserved_bytes("cuda:0") == 0


async def test_a_worker_that_leaks_on_a_gpu_is_renewed_and_no_request_is_dropped(tmp_path: Path) -> None:
    row = spec("takes_gpu", device="cuda:0", growth_mib=128, options={"mib": 16, "leak_mib": 16})
    async with serving(row, using=means(1 << 16, tmp_path)) as registry:
        model, number = registry.get("takes_gpu"), 0
        while 'reason="outgrown"} 1.0' not in registry._means.metrics.render()[0].decode():
            number += 1
            assert number < 200, "it was never renewed"
            answer = await model.infer(model.task.parse({"text": str(number)}), Origin("r"))
            assert label(answer) == str(number)
