"""Tool calls of the native family have objects for arguments; one that was cut short has none and is left out."""

from __future__ import annotations

import pytest

from gateway.tasks.generation import FinishedCall
from gateway.tasks.text_generation import FlatCall, flat_calls


@pytest.mark.parametrize("arguments", ["", '{"city": "Be', "[1]", "{'a': 1}"])
def test_a_call_without_whole_arguments_is_left_out(arguments: str) -> None:
    calls = [FinishedCall("1", "now", "{}"), FinishedCall("2", "get_weather", arguments)]
    assert flat_calls(calls) == [FlatCall(name="now", arguments={})]
