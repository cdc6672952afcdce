"""What a choice of tools means, in every form that clients have for it, for each family of requests."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadInput, InvalidParameter
from gateway.tasks import TASKS
from gateway.tasks.generation import Generation, GenerationInput
from gateway.tasks.tools import Tool, ToolChoice

TOOLS = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("f", "g", "h")]
NESTED = [{"type": "function", "function": {"name": name}} for name in ("h", "f")]
FLAT = [{"type": "function", "name": name} for name in ("h", "f")]
BODIES = [("default", {"prompt": "x"}), ("chat-completion", {"prompt": "x"}), ("responses", {"input": "x"})]
FAMILIES = pytest.mark.parametrize(("shape", "body"), BODIES, ids=[shape for shape, _ in BODIES])


def asked(shape: str, body: dict[str, Any], choice: Any) -> Generation:
    """What a request with that choice asks for, after the trip to a worker."""
    task = TASKS.get("text-generation", shape)
    input = task.parse({**body, "tools": TOOLS, "tool_choice": choice})
    again = task.input.model_validate(input.model_dump(exclude_unset=True))
    assert isinstance(again, GenerationInput)
    return again.generation()


@pytest.mark.parametrize(
    ("parameters", "meant"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {}}}, {"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {}}}),
        ({"type": ["object", "null"]}, {"type": "object"}),
    ],
    ids=["absent", "empty", "silent", "or-null"],
)
def test_arguments_are_an_object(parameters: Any, meant: dict[str, Any]) -> None:
    assert Tool.model_validate({"name": "f", "parameters": parameters}).parameters == meant


@pytest.mark.parametrize("kinds", ["array", ["string", "null"], 5])
def test_arguments_that_are_no_object_are_refused_by_name(kinds: Any) -> None:
    with pytest.raises(BadInput, match="'/tools/0/parameters': 'type' must be 'object'"):
        TASKS.get("text-generation").parse({"prompt": "x", "tools": [{"name": "f", "parameters": {"type": kinds}}]})


@FAMILIES
@pytest.mark.parametrize(
    "choice",
    [
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": NESTED}},
        {"type": "allowed_tools", "mode": "required", "tools": FLAT},
    ],
    ids=["nested", "flat"],
)
def test_only_allowed_tools_are_offered(shape: str, body: dict[str, Any], choice: Any) -> None:
    generation = asked(shape, body, choice)
    assert [tool.name for tool in generation.tools] == ["f", "h"]
    assert generation.tool_choice == ToolChoice("required")
    free = asked(shape, body, {**choice, "allowed_tools": {"mode": "auto", "tools": NESTED}})
    assert (free.tool_choice, len(free.tools)) == (ToolChoice("auto"), 2)


@FAMILIES
@pytest.mark.parametrize("choice", ["any", 5, {"type": "function"}, {"type": "allowed_tools", "mode": "none"}])
def test_a_choice_that_no_model_understands_is_8001(shape: str, body: dict[str, Any], choice: Any) -> None:
    with pytest.raises(InvalidParameter, match="'/tool_choice': must be 'none', 'auto', 'required'") as refused:
        asked(shape, body, choice)
    assert (refused.value.status, refused.value.code) == (400, 8001)


@FAMILIES
@pytest.mark.parametrize(
    ("tools", "text"),
    [
        ([], "must be 1 to 128 tools"),
        (FLAT * 65, "must be 1 to 128 tools"),
        ([{"type": "web_search"}], "must be names"),
        ([{"type": "custom", "custom": {"name": "f"}}], "names a custom tool that is not in '/tools'"),
        ([{"type": "function", "name": "other"}], "names a function that is not in '/tools'"),
    ],
)
def test_allowed_tools_are_some_of_those_offered(shape: str, body: dict[str, Any], tools: list[Any], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        asked(shape, body, {"type": "allowed_tools", "mode": "auto", "tools": tools})
