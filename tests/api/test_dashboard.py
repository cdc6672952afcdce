"""docs/grafana/gateway.json asks for what /metrics has, and shows all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import Served

DASHBOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "grafana" / "gateway.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
VARIABLES = [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
# Given by Prometheus to whatever it collects.
EVERYWHERE = {"job", "instance"}
METRIC, GROUPING, SELECTOR = r"\b(?:gateway|process)_\w+", r"\bby \(([^)]*)\)", r"(\w+)(?:=~|!~|!=|=)\""


def _metrics(query: str) -> set[str]:
    return set(re.findall(METRIC, query))


@pytest.mark.asyncio(loop_scope="session")
class TestMetrics:
    async def _families(self, served: Served) -> dict[str, str]:
        """The kinds of all metrics, by name."""
        text = (await served.http.get("/metrics")).text
        return {family.name: family.type for family in text_string_to_metric_families(text)}

    async def test_every_metric_that_is_asked_for_exists(self, served: Served) -> None:
        families = await self._families(served)
        there = {name + end for name, kind in families.items() for end in SUFFIXES.get(kind, ("",))}
        asked = {metric for query in [*QUERIES, *VARIABLES] for metric in _metrics(query)}
        assert asked
        assert asked <= there

    async def test_every_metric_of_the_gateway_is_shown(self, served: Served) -> None:
        shown = {re.sub(r"_(total|bucket|sum|count)$", "", metric) for query in QUERIES for metric in _metrics(query)}
        families = await self._families(served)
        own = {name for name in families if name.startswith("gateway_") and not name.endswith("_created")}
        assert own <= shown

    async def test_every_label_that_is_asked_for_exists(self, served: Served) -> None:
        await served.run("chat", json={"prompt": "a"})
        await served.run("raises", json={"text": "poison"})
        text = (await served.http.get("/metrics")).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        labels = {sample.name: set(sample.labels) for sample in samples}
        checked = 0
        for query in QUERIES:
            groups = (name.strip() for group in re.findall(GROUPING, query) for name in group.split(","))
            asked = {*groups, *re.findall(SELECTOR, query)} - EVERYWHERE
            for metric in _metrics(query) & set(labels):
                checked += 1
                assert asked <= labels[metric], query
        assert checked > len(QUERIES) / 2


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in DASHBOARD["panels"]
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_legends_use_labels_that_their_query_groups_by() -> None:
    for target in (target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])):
        kept = {name.strip() for group in re.findall(GROUPING, target["expr"]) for name in group.split(",")}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept | EVERYWHERE, target["expr"]
