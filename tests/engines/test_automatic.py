"""A row that leaves the engine to its task gets one, and an offline gateway takes no row that leaves the machine."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from gateway.app import create_app
from gateway.config import ConfigError, ModelSpec, Settings
from gateway.engines.automatic import ENGINES, engine_name
from gateway.engines.base import Engine, StreamEngine, engine_class
from gateway.tasks import TASKS


def row(task: str = "text-generation", engine: str = "auto", **fields: Any) -> ModelSpec:
    return ModelSpec(name="@local/model", task=task, engine=engine, **fields)


@pytest.mark.parametrize("task", sorted({task.name for task in TASKS}))
def test_every_task_has_an_engine(task: str) -> None:
    found = engine_class(engine_name(row(task)))
    assert issubclass(found, Engine | StreamEngine)
    assert not inspect.isabstract(found)


def test_a_named_engine_is_kept() -> None:
    assert engine_name(row(engine="fake_chat")) == "fake_chat"


def test_a_task_without_an_engine_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENGINES, "text-generation")
    with pytest.raises(ConfigError, match="row @local/model: engine: auto knows no engine for the task"):
        create_app(Settings(), [row()])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://[::1]:1/v1", "http://localhost:1/v1"])
def test_offline_allows_servers_of_this_machine(url: str) -> None:
    create_app(Settings(offline=True), [row(options={"url": url})])


@pytest.mark.parametrize("url", ["http://10.0.0.1/v1", "https://example.com/v1", "http://127.0.0.1.example.com/v1"])
def test_offline_refuses_servers_elsewhere_at_start(url: str) -> None:
    create_app(Settings(), [row(options={"url": url})])
    with pytest.raises(ConfigError, match=r"options\.url: leads to another machine"):
        create_app(Settings(offline=True), [row(options={"url": url})])
