"""Which model answers for a name: aliases say so, and starters stand in only where the operator allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from tests.api.conftest import BEARER, Served, client_of, row, run_path

loop = pytest.mark.asyncio(loop_scope="session")
ROUTED = "cf-aig-routed-model"


@loop
async def test_an_alias_says_which_model_answered(served: Served) -> None:
    response = await served.run("alias", json={"text": "hi"})
    assert response.headers[ROUTED] == "@cf/test/classify"


@loop
async def test_a_models_own_name_says_nothing(served: Served) -> None:
    response = await served.run("classify", json={"text": "hi"})
    assert ROUTED not in response.headers


@loop
async def test_an_alias_is_told_of_failures_too(served: Served) -> None:
    response = await served.run("alias", json={})
    assert (response.status_code, response.headers[ROUTED]) == (400, "@cf/test/classify")


def absent(name: str, task: str, folder: Path, **fields: str) -> ModelSpec:
    return row(name, task, "fake", source=f"file:{folder / 'nowhere'}", **fields)


@asynccontextmanager
async def serving(folder: Path, *, stand_ins: bool) -> AsyncIterator[httpx.AsyncClient]:
    (folder / "weights").mkdir(exist_ok=True)
    starter = row("starter", "text-classification", "fake", source=f"file:{folder / 'weights'}", starter=True)
    rows = [
        starter,
        absent("absent", "text-classification", folder),
        absent("lonely", "text-embeddings", folder),
    ]
    app = create_app(Settings(home=folder, grace_s=0.0, stand_ins=stand_ins), rows)
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as http:
        yield http


async def test_a_starter_stands_in_for_an_absent_model_and_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, stand_ins=True) as http:
        response = await http.post(run_path("absent"), json={"text": "hi"})
        assert response.status_code == 200
        assert response.headers[ROUTED] == "@cf/test/starter"


async def test_nothing_stands_in_where_there_is_no_starter_of_the_task(tmp_path: Path) -> None:
    async with serving(tmp_path, stand_ins=True) as http:
        response = await http.post(run_path("lonely"), json={"text": "hi"})
        assert (response.status_code, response.json()["errors"][0]["code"]) == (503, 3050)
        assert ROUTED not in response.headers


async def test_nothing_stands_in_unless_it_is_allowed(tmp_path: Path) -> None:
    async with serving(tmp_path, stand_ins=False) as http:
        response = await http.post(run_path("absent"), json={"text": "hi"})
        assert (response.status_code, response.json()["errors"][0]["code"]) == (503, 3050)
