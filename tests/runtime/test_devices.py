"""Replicas on several devices: GPUs are invented here, the parent's side of them is real."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from gateway.config import MIB
from gateway.errors import Overloaded
from gateway.runtime import nursery
from gateway.runtime.memory import HOST
from gateway.runtime.nursery import Nursery
from gateway.tasks import Origin
from tests.runtime.conftest import label, means, serving, spec, until

GPUS = {"cuda:0": 1000 * MIB, "cuda:1": 1000 * MIB}


async def test_replicas_are_spread_over_the_gpus(tmp_path: Path) -> None:
    using = means(5000, tmp_path)
    using.steward.open(GPUS)
    assert using.steward.gpus == {name: int(size * 0.9) for name, size in GPUS.items()}
    one = spec("located", replicas=2, memory_mib=300, preload=True, max_batch_items=1)
    async with serving(one, using=using) as registry:
        model = registry.get("located")
        await until(lambda: model.status()["loaded"] == 2)
        devices = {keeper.loaded.device for keeper in model._keepers if keeper.loaded is not None}
        assert devices == {"cuda:0", "cuda:1"}
        ledger = using.steward.ledger
        assert [ledger.reserved_bytes(name) for name in GPUS] == [300 * MIB, 300 * MIB]
        assert ledger.reserved_bytes(HOST) > 0
        answers = await asyncio.gather(
            *(model.infer(model.task.parse({"text": "where"}), Origin("r")) for _ in range(8))
        )
        assert {label(answer) for answer in answers} <= devices
    assert [ledger.reserved_bytes(name) for name in (HOST, *GPUS)] == [0, 0, 0]


@pytest.mark.parametrize("device", ["cuda:1", "cuda", "auto"])
async def test_a_model_larger_than_a_gpu_goes_where_its_row_allows(tmp_path: Path, device: str) -> None:
    using = means(5000, tmp_path)
    using.steward.open({"cuda:0": 100 * MIB, "cuda:1": 1000 * MIB})
    async with serving(spec("located", memory_mib=300, device=device), using=using) as registry:
        model = registry.get("located")
        assert label(await model.infer(model.task.parse({"text": "where"}), Origin("r"))) == "cuda:1"


async def test_a_full_gpu_lets_its_own_idle_model_go_and_no_other(tmp_path: Path) -> None:
    using = means(5000, tmp_path)
    using.steward.open(GPUS)
    rows = [
        spec("located", name=name, memory_mib=500, device=device)
        for name, device in (("old", "cuda:0"), ("beside", "cuda:1"), ("host", "cpu"), ("new", "cuda:0"))
    ]
    async with serving(*rows, using=using) as registry:
        for model in registry:
            await model.infer(model.task.parse({"text": "where"}), Origin("r"))
        states = {model.spec.name: model.state for model in registry}
        assert states == {"old": "unloaded", "beside": "ready", "host": "ready", "new": "ready"}
        ledger = using.steward.ledger
        assert [ledger.reserved_bytes(name) for name in GPUS] == [500 * MIB, 500 * MIB]


async def test_who_finds_a_gpu_full_is_told_who_holds_it(tmp_path: Path) -> None:
    using = means(5000, tmp_path)
    using.steward.open(GPUS)
    pinned = spec("located", name="pinned", memory_mib=500, device="cuda:0", pin=True)
    late = spec("located", name="late", memory_mib=500, device="cuda:0", memory_patience_s=0.1)
    async with serving(pinned, late, using=using) as registry:
        for name in ("pinned", "late"):
            model = registry.get(name)
            with contextlib.suppress(Overloaded):
                await model.infer(model.task.parse({"text": "where"}), Origin("r"))
        reason = str(registry.get("late").status()["reason"])
        assert "500 MiB of cuda:0 memory (budget 900 MiB; held by pinned 500 MiB)" in reason
        assert registry.get("pinned").state == "ready"


async def test_an_engine_that_leaves_its_gpu_alone_is_accounted_for_on_the_host(tmp_path: Path) -> None:
    using, one = means(5000, tmp_path), spec("echo")
    using.steward.open(GPUS)
    async with serving(one, using=using) as registry:
        model = registry.get("echo")
        await model.infer(model.task.parse({"text": "a"}), Origin("r"))
        ledger = using.steward.ledger
        assert [ledger.reserved_bytes(name) for name in GPUS] == [0, 0]
        assert ledger.reserved_bytes(HOST) > 0
    assert using.steward.footprints.read(one).ignores_gpus


async def test_gpus_that_cannot_be_measured_keep_what_was_granted(tmp_path: Path) -> None:
    using, one = means(5000, tmp_path), spec("located")
    using.steward.open(GPUS)
    async with serving(one, using=using) as registry:
        model = registry.get("located")
        await model.infer(model.task.parse({"text": "a"}), Origin("r"))
        assert using.steward.ledger.reserved_bytes("cuda:0") == 512 * MIB
    known = using.steward.footprints.read(one).cuda
    assert known is not None
    assert known.gpu.most == 512 * MIB


async def test_a_process_is_asked_for_gpus_only_where_there_may_be_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nursery, "GPU_SIGNS", (Path("/nowhere"),))
    assert await Nursery([]).gpu_budgets() == {}
    monkeypatch.setattr(nursery, "GPU_SIGNS", (Path("/dev/null"),))
    found = await Nursery([]).gpu_budgets()
    assert all(name.startswith("cuda:") and size > 0 for name, size in found.items())
