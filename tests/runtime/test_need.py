"""What a replica is taken to need: by its row, by what workers before it took, or by an estimate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.config import MIB
from gateway.runtime.memory import HOST
from gateway.runtime.messages import Loaded, Taken
from gateway.runtime.need import CONTEXT_BYTES, PROCESS_BYTES, WeightsSize, needed_bytes
from gateway.runtime.tally import YOUNG_BATCHES, Tally
from gateway.weights.footprint import Footprint, Footprints, Measured
from tests.runtime.conftest import label, means, serving
from tests.runtime.test_life import ask, reserved_mib
from tests.runtime.test_life import row as worker_row
from tests.runtime.test_memory import row

MEASURED = Measured(cpu=Footprint(host_bytes=5, load_s=1), cuda=Footprint(host_bytes=2, gpu_bytes=7, load_s=1))


@pytest.mark.parametrize(
    ("fields", "measured", "device", "expected"),
    [
        ({}, Measured(), HOST, {HOST: 2000 + PROCESS_BYTES}),
        ({"dtype": "bfloat16"}, Measured(), HOST, {HOST: 1500 + PROCESS_BYTES}),
        ({"source": "file:/a/b.gguf"}, Measured(), HOST, {HOST: 4000 + PROCESS_BYTES}),
        (
            {},
            Measured(),
            "cuda:1",
            {HOST: 1000 + PROCESS_BYTES + CONTEXT_BYTES, "cuda:1": 2000 + CONTEXT_BYTES},
        ),
        ({}, MEASURED, HOST, {HOST: 5}),
        ({}, MEASURED, "cuda:1", {HOST: 2, "cuda:1": 7}),
        ({}, Measured(cpu=Footprint(host_bytes=5, load_host_bytes=9, load_s=1)), HOST, {HOST: 9}),
        ({}, Measured(cpu=Footprint(host_bytes=9, load_host_bytes=5, load_s=1)), HOST, {HOST: 9}),
        ({"memory_mib": 3}, MEASURED, HOST, {HOST: 3 * MIB}),
        ({"memory_mib": 3}, MEASURED, "cuda:1", {HOST: 2, "cuda:1": 3 * MIB}),
    ],
)
def test_a_need_is_what_the_row_says_or_what_was_measured_or_an_estimate(
    fields: dict[str, Any], measured: Measured, device: str, expected: dict[str, int]
) -> None:
    assert (
        needed_bytes(row(**fields), measured, WeightsSize(1000), device, {HOST: 1 << 40, "cuda:1": 1 << 40}) == expected
    )


def test_an_estimate_over_the_budget_takes_all_of_it_and_files_over_the_budget_are_too_much() -> None:
    assert needed_bytes(row(), Measured(), WeightsSize(60 * MIB), HOST, {HOST: 100 * MIB}) == {HOST: 100 * MIB}
    assert needed_bytes(row(), Measured(), WeightsSize(101 * MIB), HOST, {HOST: 100 * MIB}) == {HOST: 101 * MIB}


def test_a_former_use_over_the_budget_takes_all_of_it_and_a_load_over_the_budget_is_too_much() -> None:
    def needed(**bytes_: int) -> dict[str, int]:
        return needed_bytes(row(), Measured(cpu=Footprint(load_s=1, **bytes_)), WeightsSize(1), HOST, {HOST: 100})

    assert needed(host_bytes=500, load_host_bytes=60) == {HOST: 100}
    assert needed(host_bytes=90, load_host_bytes=60) == {HOST: 90}
    assert needed(host_bytes=90, load_host_bytes=101) == {HOST: 101}
    assert needed(host_bytes=500) == {HOST: 100}  # of an earlier version: the load may have taken less


def test_weights_that_are_unpacked_on_load_need_what_they_unpack_to_whatever_the_budget() -> None:
    def needed(device: str, **fields: Any) -> dict[str, int]:
        budgets = {HOST: 100 * MIB, "cuda:1": 1 << 40}
        return needed_bytes(row(**fields), Measured(), WeightsSize(60 * MIB, 120 * MIB), device, budgets)

    assert needed(HOST) == {HOST: 120 * MIB}
    assert needed("cuda:1", dtype="bfloat16") == {HOST: 100 * MIB, "cuda:1": 180 * MIB + CONTEXT_BYTES}
    assert needed(HOST, memory_mib=3) == {HOST: 3 * MIB}


def loaded(host: int, peak: int, cache: int = 0) -> Loaded:
    return Loaded(False, "cpu", {}, "", "", Taken(host * MIB, peak * MIB), cache)


def test_a_young_worker_teaches_its_peak_and_an_old_one_outgrows_it() -> None:
    tally = Tally(row(growth_mib=10), Measured(), HOST, loaded(50, 80))
    tally.batches = YOUNG_BATCHES
    assert tally.note(Taken(90 * MIB, 100 * MIB))
    assert not tally.is_outgrown
    tally.batches += 1
    assert not tally.note(Taken(110 * MIB, 110 * MIB))
    assert not tally.is_outgrown
    assert tally.held() == {HOST: 110 * MIB}
    tally.note(Taken(111 * MIB, 111 * MIB))
    assert tally.is_outgrown
    assert tally.added_to(Measured(), 2.0) == Measured(
        cpu=Footprint(host_bytes=100 * MIB, load_host_bytes=80 * MIB, load_s=2.0)
    )


def test_the_next_load_is_not_taken_for_the_first_one() -> None:
    first = Tally(row(), Measured(), HOST, loaded(50, 300)).added_to(Measured(), 2.0)
    assert first.cpu is not None
    assert (first.cpu.host.least, first.cpu.host.most) == (300 * MIB, 300 * MIB)
    second = Tally(row(), first, HOST, loaded(50, 80)).added_to(first, 1.0)
    assert second.cpu == Footprint(host_bytes=50 * MIB, load_host_bytes=80 * MIB, load_s=1.0)


def test_a_worker_outgrows_its_gpu_as_it_does_the_host() -> None:
    told = Loaded(False, "cuda:0", {}, "", "", Taken(50 * MIB, 50 * MIB, 100 * MIB, 120 * MIB), 0)
    tally = Tally(row(growth_mib=10), Measured(), "cuda:0", told)
    assert tally.held() == {HOST: 50 * MIB, "cuda:0": 120 * MIB}
    tally.batches = YOUNG_BATCHES + 1
    tally.note(Taken(50 * MIB, 50 * MIB, 130 * MIB, 130 * MIB))
    assert not tally.is_outgrown
    tally.note(Taken(50 * MIB, 50 * MIB, 131 * MIB, 131 * MIB))
    assert tally.is_outgrown
    assert tally.added_to(Measured(), 1.0).cuda == Footprint(
        host_bytes=50 * MIB,
        gpu_bytes=100 * MIB,
        load_host_bytes=50 * MIB,
        load_gpu_bytes=120 * MIB,
        load_s=1.0,
    )


def test_what_an_engine_may_take_by_design_is_no_growth() -> None:
    tally = Tally(row(growth_mib=10), Measured(), HOST, loaded(50, 50, cache=1000 * MIB))
    tally.batches = YOUNG_BATCHES + 1
    tally.note(Taken(1059 * MIB, 1059 * MIB))
    assert not tally.is_outgrown
    tally.note(Taken(1061 * MIB, 1061 * MIB))
    assert tally.is_outgrown


def test_footprints_are_kept_by_what_is_loaded_not_by_name(tmp_path: Path) -> None:
    kept = Footprints(tmp_path)
    assert kept.read(row()) == Measured()
    kept.write(row(), MEASURED)
    assert Footprints(tmp_path).read(row(name="other", timeout_s=1)) == MEASURED
    assert kept.read(row(dtype="float32")) == Measured()
    (file,) = (tmp_path / "weights" / "measured").iterdir()
    file.write_text('{"cpu": {"host_bytes": -1')
    assert kept.read(row()) == Measured()


async def test_what_one_large_request_took_keeps_no_model_from_a_smaller_budget(tmp_path: Path) -> None:
    greedy = worker_row("greedy", "takes", memory_mib=None, options={"batch_mib": 200})
    async with serving(greedy, using=means(1000, tmp_path)) as registry:
        while reserved_mib(registry) < 200:  # what it takes is told once a second at most, and then with an answer
            assert label(await ask(registry.get("greedy"))) == "a"
            await asyncio.sleep(0.1)
    async with serving(greedy, using=means(150, tmp_path)) as registry:
        assert label(await ask(registry.get("greedy"))) == "a"


async def test_a_load_that_prepares_the_next_ones_is_not_taken_for_one_of_them(tmp_path: Path) -> None:
    made = tmp_path / "made"
    spec = worker_row("a", "takes", memory_mib=None, options={"load_mib": 300, "made": str(made)})

    async def loaded_mib() -> int:
        async with serving(spec, using=means(1000, tmp_path)) as registry:
            assert label(await ask(registry.get("a"))) == "a"
            return reserved_mib(registry)

    assert await loaded_mib() > 300
    made.touch()
    assert await loaded_mib() < 200
    known = means(1000, tmp_path).steward.footprints.read(spec).cpu
    assert known is not None
    assert known.host.most < 200 * MIB
