"""A running registry takes new rows: no request is lost, and what cannot be applied changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, ModelSpec
from gateway.errors import GatewayError, ModelNotFound
from gateway.runtime.changes import Changes
from gateway.runtime.model import Model
from gateway.runtime.registry import Registry
from gateway.tasks import Answer, Origin
from tests.runtime.conftest import NoWeights, label, means, serving, spec, until


def row(name: str, engine: str = "echo", **fields: Any) -> ModelSpec:
    return spec(engine, **{"name": name, "memory_mib": 100, **fields})


async def ask(registry: Registry, name: str, text: str = "a") -> Answer:
    model = registry.get(name)
    return await model.infer(model.task.parse({"text": text}), Origin("r"))


def pid_of(model: Model) -> int | None:
    worker = model._keepers[0].worker
    return worker.pid if worker is not None else None


def test_a_new_price_needs_a_new_worker_and_other_properties_do_not() -> None:
    def priced(price: float, **properties: Any) -> ModelSpec:
        return row("m", properties={"price": [{"unit": "per image", "price": price}], **properties})

    assert Changes.between([priced(1)], [priced(2)]).replaced == ["m"]
    assert Changes.between([priced(1)], [priced(1, beta=True)]).replaced == []


async def test_unchanged_and_renamed_rows_keep_their_workers() -> None:
    before = [row("same"), row("renamed"), row("gone"), row("changed")]
    after = [
        row("same"),
        row("renamed", aliases=["nick"], description="x"),
        row("changed", max_batch_items=7),
        row("new"),
    ]
    async with serving(*before) as registry:
        for spec_ in before:
            await ask(registry, spec_.name)
        old = {model.spec.name: (model, pid_of(model)) for model in registry}
        changes = await registry.change(after, NoWeights())
        assert changes.counts() == {"added": 1, "changed": 2, "removed": 1, "unchanged": 1}
        assert [model.spec.name for model in registry] == ["same", "renamed", "changed", "new"]
        for name in ("same", "renamed"):
            assert registry.get(name) is old[name][0]
            assert pid_of(registry.get(name)) == old[name][1]
        assert registry.get("nick") is registry.get("renamed")
        assert registry.get("changed") is not old["changed"][0]
        assert registry.get("changed").state == "ready"
        with pytest.raises(ModelNotFound):
            registry.get("gone")
        with pytest.raises(ModelNotFound):
            await old["gone"][0].infer(old["gone"][0].task.parse({"text": "late"}), Origin("r"))
        assert label(await ask(registry, "new", "hi")) == "hi"
        await until(lambda: not registry._leaving)
        assert pid_of(old["changed"][0]) is None
        assert 'gateway_workers{model="gone"}' not in registry._means.metrics.render()[0].decode()


async def test_no_request_is_lost_while_rows_change() -> None:
    async with serving(row("a", max_batch_items=2)) as registry:
        await ask(registry, "a")
        stop, answered = asyncio.Event(), 0

        async def caller(number: int) -> None:
            nonlocal answered
            while not stop.is_set():
                model = registry.get("a")
                await asyncio.sleep(0)
                text = f"{number}-{answered}"
                assert label(await model.infer(model.task.parse({"text": text}), Origin("r"))) == text
                answered += 1

        callers = [asyncio.create_task(caller(number)) for number in range(8)]
        for items in (3, 4, 5):
            seen = answered
            await registry.change([row("a", max_batch_items=items)], NoWeights())
            await until(lambda: answered > seen + 50)  # noqa: B023 - awaited within the iteration
        stop.set()
        await asyncio.gather(*callers)
        assert registry.get("a").spec.max_batch_items == 5
        await until(lambda: not registry._leaving)


async def test_running_requests_of_an_old_row_finish_on_its_worker(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    options = {"gate": str(gate)}
    async with serving(row("a", "waits", options=options)) as registry:
        old = registry.get("a")
        running = asyncio.create_task(ask(registry, "a", "running"))
        await until(lambda: bool(old._keepers[0].inside))
        await registry.change([row("a")], NoWeights())
        assert label(await ask(registry, "a", "new")) == "new"
        assert pid_of(old) is not None
        gate.touch()
        assert label(await running) == "running"
        await until(lambda: not registry._leaving)
        assert pid_of(old) is None


async def test_without_room_for_both_the_old_worker_goes_first_and_requests_wait() -> None:
    using = means(150)
    async with serving(row("a"), using=using) as registry:
        await ask(registry, "a")
        await registry.change([row("a", max_batch_items=7)], NoWeights())
        assert label(await ask(registry, "a", "waited")) == "waited"
        assert registry.get("a").spec.max_batch_items == 7
        assert using.steward.ledger.reserved_bytes("host") == 100 << 20


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        pytest.param([row("a"), row("b", aliases=["a"])], "the name a is already taken", id="names"),
        pytest.param([row("a").model_copy(update={"task": "nonsense"})], "row a: ", id="task"),
        pytest.param([row("a", "fails_to_load", options={"fault": "/"})], "the weights are upside down", id="load"),
    ],
)
async def test_rows_that_cannot_be_served_change_nothing(rows: list[ModelSpec], reason: str) -> None:
    async with serving(row("a"), row("z")) as registry:
        await ask(registry, "a")
        old, pid = registry.get("a"), pid_of(registry.get("a"))
        with pytest.raises(ConfigError) as refused:
            await registry.change(rows, NoWeights())
        assert reason in refused.value.detail
        assert [model.spec.name for model in registry] == ["a", "z"]
        assert registry.get("a") is old
        assert label(await ask(registry, "a", "still")) == "still"
        assert pid_of(old) == pid
        assert registry.memory()["host"]["reserved"] == 100 << 20


async def test_stopping_while_an_old_row_drains_leaves_nothing(tmp_path: Path) -> None:
    using = means(1000)
    async with serving(
        row("a", "waits", options={"gate": str(tmp_path / "never")}), using=using, grace_s=0
    ) as registry:
        running = asyncio.create_task(ask(registry, "a", "running"))
        old = registry.get("a")
        await until(lambda: bool(old._keepers[0].inside))
        await registry.change([], NoWeights())
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], GatewayError)
    assert pid_of(old) is None
    assert using.steward.ledger.reserved_bytes("host") == 0


def test_changes_are_told_apart() -> None:
    before = [row("a"), row("b"), row("c")]
    changes = Changes.between(before, [row("c"), row("b", description="x"), row("a", timeout_s=1), row("d")])
    assert [spec_.name for spec_ in changes.added] == ["d"]
    assert changes.replaced == ["a"]
    assert [spec_.name for spec_ in changes.renamed] == ["b"]
    assert changes.unchanged == ("c",)
    assert changes.removed == ()
