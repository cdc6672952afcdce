"""The fine-tunes that rows have: listed, in order and in parts, and part of the catalogue."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from gateway.api.keyfile import KeyFile
from gateway.api.keyring import Keyring
from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from gateway.models_file import load_specs
from gateway.reload import Reload
from tests.api.conftest import ACCOUNT, BEARER, client_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
AI = f"/client/v4/accounts/{ACCOUNT}/ai"
ROW = {"task": "text-generation", "engine": "fake_chat"}
ROWS: list[dict[str, Any]] = [
    ROW | {"name": "@cf/b", "loras": {"zebra": "file:/z", "ant": "file:/a"}, "created_at": "2025-01-02"},
    ROW | {"name": "@cf/a", "loras": {"mule": "file:/m"}},
    ROW | {"name": "@cf/plain"},
]


@pytest_asyncio.fixture(loop_scope="session")
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(home=tmp_path), [ModelSpec.model_validate(row) for row in ROWS])
    async with client_of(app, headers=BEARER) as client:
        yield client


async def test_every_adapter_is_listed_with_its_model(http: httpx.AsyncClient) -> None:
    answer = (await http.get(f"{AI}/finetunes/")).json()
    assert answer["success"] is True
    assert [(item["model"], item["name"]) for item in answer["result"]] == [
        ("@cf/b", "zebra"),
        ("@cf/b", "ant"),
        ("@cf/a", "mule"),
    ]
    assert len({item["id"] for item in answer["result"]}) == 3
    assert answer["result"][0]["created_at"] == "2025-01-02 00:00:00.000"


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({}, ["ant", "mule", "zebra"]),
        ({"limit": "2", "offset": "1"}, ["mule", "zebra"]),
        ({"orderBy": "model"}, ["mule", "zebra", "ant"]),
        ({"offset": "3"}, []),
    ],
)
async def test_public_ones_come_in_order_and_in_parts(
    http: httpx.AsyncClient, parameters: dict[str, str], names: list[str]
) -> None:
    answer = await http.get(f"{AI}/finetunes/public", params=parameters)
    assert [item["name"] for item in answer.json()["result"]] == names


@pytest.mark.parametrize("parameters", [{"limit": "0"}, {"offset": "-1"}, {"orderBy": "size"}])
async def test_a_parameter_out_of_bounds_is_named(http: httpx.AsyncClient, parameters: dict[str, str]) -> None:
    answer = await http.get(f"{AI}/finetunes/public", params=parameters)
    assert answer.status_code == 400
    assert next(iter(parameters)) in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("path", ["/finetunes", "/finetunes/public"])
async def test_nothing_is_created_over_http(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"{AI}{path}", json={"model": "@cf/a", "name": "new"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, 7001)


async def test_the_catalogue_says_which_models_have_some(http: httpx.AsyncClient) -> None:
    found = (await http.get(f"{AI}/models/search")).json()["result"]
    marked = [item["name"] for item in found if {"property_id": "lora", "value": "true"} in item["properties"]]
    assert marked == ["@cf/b", "@cf/a"]


@pytest.mark.parametrize(
    ("settings", "row", "decided"),
    [
        ({}, {}, "shared"),
        ({"key_hashes": ["0" * 64]}, {}, "account"),
        ({"key_hashes": ["0" * 64], "accounts": [ACCOUNT]}, {}, "shared"),
        ({"key_hashes": ["0" * 64], "accounts": [ACCOUNT, "1" * 32]}, {}, "account"),
        ({}, {"prefix_cache": "off"}, "off"),
    ],
)
async def test_prompts_share_work_only_where_all_callers_are_one(
    tmp_path: Path, settings: dict[str, Any], row: dict[str, Any], decided: str
) -> None:
    app = create_app(Settings(home=tmp_path, **settings), [ModelSpec.model_validate(ROW | {"name": "@cf/x"} | row)])
    assert app.state.gateway.registry.get("@cf/x").spec.prefix_cache == decided


async def test_a_reload_after_the_first_key_keeps_the_prompts_of_accounts_apart(tmp_path: Path) -> None:
    models, settings, moments = tmp_path / "models.yaml", Settings(home=tmp_path), itertools.count(0, 10)
    models.write_text(yaml.safe_dump({"models": [ROW | {"name": "@cf/x"}]}))
    state = create_app(settings, load_specs(models)).state.gateway
    keys = Keyring(KeyFile.of(settings), clock=lambda: float(next(moments)))
    reload = Reload(models, settings, keys, state.registry, state.presence, state.metrics)
    assert (await reload())["changed"] == 0
    KeyFile.of(settings).create("first")
    assert (await reload())["changed"] == 1
    assert state.registry.get("@cf/x").spec.prefix_cache == "account"


async def test_a_worker_is_given_the_adapters_of_its_row(tmp_path: Path) -> None:
    folder = tmp_path / "tune"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    row = {
        "name": "@cf/tells",
        "task": "text-classification",
        "engine": "tests.fixtures.engines.tells_adapters:Engine",
        "loras": {"tune": f"file:{folder}"},
    }
    app = create_app(Settings(home=tmp_path, grace_s=0.0), [ModelSpec.model_validate(row)])
    async with app.router.lifespan_context(app), client_of(app, headers=BEARER, timeout=60) as client:
        refused = await client.post(f"{AI}/run/@cf/tells", json={"text": "x"})
        assert refused.status_code == 503
        assert "there is no adapter_config.json" in refused.json()["errors"][0]["message"]
        (folder / "adapter_config.json").write_text('{"r": 8}')
        told = await client.post(f"{AI}/run/@cf/tells", json={"text": "x"})
    assert told.json()["result"] == [{"label": f"tune=file:{folder}", "score": 1.0}]
