"""Accounts of memory alone: reservations, who goes, and which device."""

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
from gateway.runtime.placement import engine_device, ranked, wished

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
