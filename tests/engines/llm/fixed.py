"""Has a model's graphs of fixed shape made at once, which are otherwise made between requests, one after another."""

from __future__ import annotations

from typing import Any

from gateway.engines.llm.fixed_graphs import WIDTHS


def make_all(graph: Any) -> None:
    """All widths; `graph` must have the memory for them."""
    for count in range(1, len(WIDTHS) + 1):
        graph.hasten()
        graph._fixed.compiling.join()
        assert tuple(graph.widths) == WIDTHS[:count]
