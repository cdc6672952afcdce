"""Accounts of memory alone: reservations, estimates, who goes, and which device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import MIB, ModelSpec
from gateway.runtime.capacity import host_limit_bytes
from gateway.runtime.eviction import Candidate, choose
from gateway.runtime.memory import HOST, Ledger
from gateway.runtime.messages import Loaded, Taken
from gateway.runtime.need import CONTEXT_BYTES, PROCESS_BYTES, WeightsSize, needed_bytes
from gateway.runtime.placement import engine_device, ranked, wished
from gateway.runtime.tally import YOUNG_BATCHES, Tally
from gateway.weights.footprint import Footprint, Footprints, Measured

GPUS = {"cuda:0": 10, "cuda:1": 20}


def row(**fields: Any) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "task": "text-classification", "engine": "fake", **fields})


def test_a_reservation_beyond_the_budget_is_not_made() -> None:
    ledger = Ledger({HOST: 10})
    first = ledger.reserve("a", {HOST: 6})
    assert first is not None
    assert ledger.reserve("b", {HOST: 5}) is None
    assert ledger.lacking({HOST: 5}) == {HOST: 1}
    first.release()
    first.release()
    assert ledger.reserve("b", {HOST: 10}) is not None
    assert ledger.free_bytes(HOST) == 0


def test_a_worker_that_outgrew_its_reservation_is_seen_and_blocks_others() -> None:
    ledger = Ledger({HOST: 10})
    first = ledger.reserve("a", {HOST: 6})
    assert first is not None
    first.correct({HOST: 12})
    assert ledger.free_bytes(HOST) == -2
    assert ledger.reserve("b", {HOST: 1}) is None


def test_a_shortage_says_what_is_wanted_of_what_and_who_holds_it() -> None:
    ledger = Ledger({HOST: 3 << 30, "cuda:0": 1 << 30})
    ledger.reserve("small", {HOST: 512 * MIB})
    ledger.reserve("large", {HOST: 2 << 30})
    text = ledger.describe("m", {HOST: 1 << 30, "cuda:0": 100})
    assert text == "m needs 1.00 GiB of host memory (budget 3.00 GiB; held by large 2.00 GiB, small 512 MiB)"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60), st.booleans()), max_size=40))
def test_no_order_of_reserving_and_releasing_overbooks(steps: list[tuple[int, int, bool]]) -> None:
    ledger = Ledger({HOST: 100, "cuda:0": 50})
    held: dict[int, Any] = {}
    for who, size, is_release in steps:
        if is_release and who in held:
            held.pop(who).release()
        elif who not in held and (got := ledger.reserve(str(who), {HOST: size, "cuda:0": size // 2})):
            held[who] = got
        assert ledger.free_bytes(HOST) >= 0
        assert ledger.free_bytes("cuda:0") >= 0
    for reservation in held.values():
        reservation.release()
    assert (ledger.reserved_bytes(HOST), ledger.reserved_bytes("cuda:0")) == (0, 0)


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


def candidate(name: str, size: int, load_s: float, idle_s: float, device: str = HOST) -> Candidate[str]:
    return Candidate(name, {device: size}, load_s, idle_s)


@pytest.mark.parametrize(
    ("candidates", "lacking", "gone"),
    [
        pytest.param([], {HOST: 1}, [], id="nobody"),
        pytest.param([candidate("a", 5, 1, 9)], {HOST: 6}, [], id="too little, so nobody goes in vain"),
        pytest.param(
            [candidate("new", 5, 1, 1), candidate("old", 5, 1, 100)], {HOST: 5}, ["old"], id="the longest unused"
        ),
        pytest.param(
            [candidate("slow", 5, 60, 10), candidate("quick", 5, 1, 10)], {HOST: 5}, ["quick"], id="the quick to reload"
        ),
        pytest.param(
            [candidate("small", 2, 1, 10), candidate("large", 9, 1, 10)], {HOST: 9}, ["large"], id="one, not two"
        ),
        pytest.param(
            [candidate("a", 4, 1, 50), candidate("b", 9, 1, 10)], {HOST: 8}, ["b"], id="who is not needed after all"
        ),
        pytest.param(
            [candidate("gpu", 9, 1, 99, "cuda:0"), candidate("host", 9, 9, 1)], {HOST: 3}, ["host"], id="by device"
        ),
        pytest.param(
            [candidate("gpu", 9, 1, 9, "cuda:0"), candidate("host", 9, 1, 9)],
            {HOST: 3, "cuda:0": 1},
            ["host", "gpu"],
            id="both devices",
        ),
    ],
)
def test_who_goes_frees_enough_at_the_least_cost(
    candidates: list[Candidate[str]], lacking: dict[str, int], gone: list[str]
) -> None:
    assert choose(candidates, lacking) == gone


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 99), st.floats(0, 999)), max_size=8),
    st.integers(1, 30),
)
def test_those_who_go_are_enough_and_none_too_many(shapes: list[tuple[int, float, float]], size: int) -> None:
    found = [candidate(str(i), *shape) for i, shape in enumerate(shapes)]
    gone = choose(found, {HOST: size})
    freed = [shapes[int(name)][0] for name in gone]
    if sum(shape[0] for shape in shapes) < size:
        assert gone == []
    else:
        assert sum(freed) >= size
        assert all(sum(freed) - one < size for one in freed)


@pytest.mark.parametrize(
    ("device", "gpus", "ignores", "expected"),
    [
        ("auto", GPUS, False, ["cuda:0", "cuda:1", HOST]),
        ("auto", GPUS, True, [HOST]),
        ("auto", {}, False, [HOST]),
        ("cpu", GPUS, False, [HOST]),
        ("cuda", GPUS, False, ["cuda:0", "cuda:1"]),
        ("cuda:1", GPUS, False, ["cuda:1"]),
        ("cuda:7", GPUS, False, [HOST]),
        ("cuda", {}, False, [HOST]),
    ],
)
def test_the_devices_a_row_allows(device: str, gpus: dict[str, int], ignores: bool, expected: list[str]) -> None:
    assert wished(device, gpus, ignores_gpus=ignores) == expected


@pytest.mark.parametrize(
    ("size", "free", "taken", "expected"),
    [
        pytest.param(5, {"cuda:0": 5, "cuda:1": 9}, {}, ["cuda:1", "cuda:0", HOST], id="most room first"),
        pytest.param(5, {"cuda:0": 5, "cuda:1": 9}, {"cuda:1": 1}, ["cuda:0", "cuda:1", HOST], id="spread"),
        pytest.param(15, {"cuda:0": 10, "cuda:1": 0}, {}, ["cuda:1", HOST], id="never where it cannot fit"),
        pytest.param(30, {"cuda:0": 10, "cuda:1": 20}, {}, [HOST], id="larger than every GPU"),
        pytest.param(200, {}, {}, [], id="larger than everything"),
    ],
)
def test_placement(size: int, free: dict[str, int], taken: dict[str, int], expected: list[str]) -> None:
    budgets = {**GPUS, HOST: 100}
    needed = {device: {device: size} for device in budgets}
    assert ranked([*GPUS, HOST], needed, budgets, {HOST: 100, **free}, taken) == expected


@pytest.mark.parametrize(
    ("wish", "device", "gpus", "told"),
    [
        ("auto", "cuda:1", GPUS, "cuda:1"),
        ("cuda", "cuda:0", GPUS, "cuda:0"),
        ("auto", HOST, GPUS, "cpu"),
        ("auto", HOST, {}, "auto"),
        ("cuda:7", HOST, GPUS, "cuda:7"),
    ],
)
def test_the_engine_is_told_one_device(wish: str, device: str, gpus: dict[str, int], told: str) -> None:
    assert engine_device(wish, device, gpus) == told


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


@pytest.mark.parametrize(
    ("groups", "files", "limit_mib"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": f"{64 * MIB}"}, 64),
        ("0::/gone/from/here", {"memory.max": f"{32 * MIB}"}, 32),
        ("5:cpu,memory:/x", {"memory/x/memory.limit_in_bytes": f"{16 * MIB}"}, 16),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, groups: str, files: dict[str, str], limit_mib: int) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert host_limit_bytes(tmp_path) == limit_mib * MIB
    assert host_limit_bytes(tmp_path / "nothing") > limit_mib * MIB
