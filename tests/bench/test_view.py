"""What a run shows while it goes on, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.cli.bench.view import StageBar
from tests.bench.runs import stage


def shown(*, is_terminal: bool) -> str:
    """All that was written of a stage with one connection, three answers and a fault."""
    out = io.StringIO()
    bar = StageBar(Console(file=out, force_terminal=is_terminal, width=120))
    bar.wait("warming up")
    bar.begin(1, 20.0)
    bar.tick(5.0, 3, 1)
    bar.end(stage(1, failed={"3043": 1}))
    bar.close()
    return out.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_line_stays_of_each_stage(is_terminal: bool) -> None:
    assert "1 connection: 2.00 answers/s, p50 500 ms, failed: 1 × 3043" in shown(is_terminal=is_terminal)


def test_a_bar_moves_on_a_terminal_alone() -> None:
    assert "1 connection: 3 answers, 1 failed" in shown(is_terminal=True)
    assert shown(is_terminal=False).count("\n") == 1
