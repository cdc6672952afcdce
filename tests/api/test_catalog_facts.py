"""The shipped rows in the catalogue: each fact that models.yaml records is listed, as the live service spells it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.api.websocket import SESSIONS
from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from gateway.models_file import find_models_file, load_specs
from gateway.runtime.registry import task_of
from gateway.tasks.neurons import UNITS
from tests.api.conftest import ACCOUNT, BEARER, client_of

FILE = find_models_file(Settings())
SPECS = {spec.name: spec for spec in load_specs(FILE)}
# What a price list must have for an answer of the task to have a price; any of the sets.
PRICED_BY = {
    "text-generation": [{"per M input tokens", "per M output tokens"}],
    "text-embeddings": [{"per M input tokens"}],
    "text-classification": [{"per M input tokens"}],
    "reranking": [{"per M input tokens"}],
    "translation": [{"per M input tokens", "per M output tokens"}],
    "automatic-speech-recognition": [{"per audio minute"}],
    "voice-activity-detection": [{"per audio minute"}],
    "image-classification": [{"per image"}],
    "text-to-image": [
        {"per step"},
        {"per 512 by 512 tile"},
        {"per output 512 by 512 tile"},
        {"per output 512 by 512 tile, per step"},
        {"per first MP"},
    ],
}


def having(fact: str) -> pytest.MarkDecorator:
    """For every row that has the fact."""
    specs = [spec for spec in SPECS.values() if getattr(spec.properties, fact)]
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.name)


def spelt(value: Any) -> Any:
    """A fact of the file in the catalogue's words."""
    if isinstance(value, bool):
        return "true"
    if isinstance(value, int | date):
        return str(value)
    if isinstance(value, dict):
        return {"mandatory": False, "default_enabled": True} | value
    if isinstance(value, list):
        return [{"currency": "USD"} | price for price in value]
    return value


@pytest.mark.asyncio(loop_scope="session")
async def test_every_recorded_fact_is_listed_and_no_other(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), list(SPECS.values()))
    async with client_of(app, headers=BEARER) as http:
        answer = await http.get(f"/client/v4/accounts/{ACCOUNT}/ai/models/search?per_page=1000&include_deprecated=true")
    listed = {
        item["name"]: {
            fact["property_id"]: fact["value"]
            for fact in item["properties"]
            if not fact["property_id"].startswith("gateway_")
        }
        for item in answer.json()["result"]
    }
    recorded = {}
    for row in yaml.safe_load(FILE.read_text(encoding="utf-8"))["models"]:
        if row["name"] in listed:
            facts = {name: spelt(value) for name, value in row.get("properties", {}).items() if value is not False}
            window = {"context_window": str(row["context_window"])} if "context_window" in row else {}
            task = task_of(SPECS[row["name"]])
            recorded[row["name"]] = (
                facts | window | ({"realtime": "true"} if (task.name, task.shape) in SESSIONS else {})
            )
    assert len(recorded) > 60
    assert listed == recorded


@having("price")
def test_every_price_gives_neurons(spec: ModelSpec) -> None:
    units = {price.unit for price in spec.properties.price}
    assert units <= set(UNITS)
    assert any(wanted <= units for wanted in PRICED_BY[spec.task])
    assert {price.currency for price in spec.properties.price} == {"USD"}


@having("reasoning_effort")
def test_efforts_belong_to_models_that_reason(spec: ModelSpec) -> None:
    effort = spec.properties.reasoning_effort
    assert effort is not None
    assert spec.properties.reasoning
    assert effort.default_effort in effort.supported_efforts


@having("max_input_tokens")
def test_a_text_is_no_longer_than_the_window(spec: ModelSpec) -> None:
    assert spec.properties.max_input_tokens == spec.context_window
