"""What a server that a row started writes goes into the log: line by line, bounded, without its key."""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from tests.engines.llm.upstream.asking import ask, load

SMALL = Path(__file__).parents[3] / "fixtures" / "servers" / "small.py"


def test_output_is_cut_to_lines_and_the_key_left_out() -> None:
    options = {"command": [sys.executable, str(SMALL), "chatty", "{port}"], "environment": {"SMALL_KEY": "{key}"}}
    with structlog.testing.capture_logs() as entries:
        engine = load(options)
        assert ask(engine, prompt="hello").choices[0].text == "hello"
        engine.close()
    lines = [entry["line"] for entry in entries if entry["event"] == "upstream says"]
    assert lines == ["x" * 2000, "the key is [key]"]
    assert {entry["model"] for entry in entries} == {"@local/chat"}
