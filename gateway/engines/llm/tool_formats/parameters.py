"""Arguments written one by one as plain text, and what their schema says of each; knows no family's tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from gateway.engines.llm.constraint import NOTHING, Choice, Constraint, Json, Literal, Until
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import ANY_OBJECT, FIELD, either, quoted
from gateway.tasks.tools import Tool

MAX_REFERENCES = 32
# Words of Python that models write where JSON has its own.
_WORDS = {"True": True, "False": False, "None": None}


def schema_of(tools: Sequence[Tool], name: str) -> dict[str, Any]:
    """The schema of a tool's arguments; that of any object for a tool that was not offered."""
    return next((tool.parameters for tool in tools if tool.name == name), ANY_OBJECT)


def property_of(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema of one argument; an empty one, which allows everything, if there is none."""
    properties = schema.get("properties")
    found = properties.get(key) if isinstance(properties, dict) else None
    return found if isinstance(found, dict) else {}


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The schema, or the one that it refers to."""
    for _ in range(MAX_REFERENCES):
        if not isinstance(schema.get("$ref"), str):
            break
        schema = _resolve(root, schema["$ref"])
    return schema


def types_of(schema: dict[str, Any], root: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows; none if it does not say."""
    types: set[str] = set()
    left, seen = [schema], set[int]()
    while left:
        node = resolved(left.pop(), root)
        if id(node) in seen:
            continue
        seen.add(id(node))
        options = node.get("anyOf") or node.get("oneOf") or ()
        found = _declared_types(node)
        if not found and not (options and all(isinstance(option, dict) for option in options)):
            return set()
        types |= found
        left += [] if found else options
    return types


def _declared_types(schema: dict[str, Any]) -> set[str]:
    declared = schema.get("type")
    if isinstance(declared, str | list):
        return {declared} if isinstance(declared, str) else {str(item) for item in declared}
    return {"string" if isinstance(value, str) else "number" for value in values_of(schema)}


def values_of(schema: dict[str, Any]) -> list[Any]:
    """The only values that a schema allows, if it lists them."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return values if isinstance(values, list) else []


def _resolve(root: dict[str, Any], reference: str) -> dict[str, Any]:
    node: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def read_name(tape: Tape, *closings: str) -> Reading[str]:
    """A name and the mark after it; empty if the text ends before."""
    name: list[str] = []
    mark = yield from tape.until(closings, name.append)
    return "".join(name).strip() if mark else ""


def read_argument(
    tape: Tape, gains: Gains, key: str, schema: dict[str, Any], closings: tuple[str, ...], *, first: bool
) -> Reading[str]:
    """Read one argument's text up to a closing mark, which is returned, and give it as JSON.

    A string is given as it comes; what may be of another type waits for its end.
    """
    gains.arguments(f"{'{' if first else ', '}{quoted(key)}: ")
    types = types_of(property_of(schema, key), schema)
    if types == {"string"}:
        gains.arguments('"')
        mark = yield from tape.until(closings, lambda text: gains.arguments(quoted(text)[1:-1]))
        gains.arguments('"')
        return mark
    text: list[str] = []
    mark = yield from tape.until(closings, text.append)
    gains.arguments(orjson.dumps(_value("".join(text), types)).decode())
    return mark


def close_arguments(tape: Tape, gains: Gains, mark: str, *, empty: bool) -> None:
    """End the object of arguments, unless the length limit cut it short before its closing mark."""
    if mark or not tape.cut:
        gains.arguments("" if empty else "}")
        gains.end_call()


def _value(text: str, types: set[str]) -> Any:
    """The value that the text stands for: JSON where it can be, unless only a string is meant."""
    if text.strip() in _WORDS:
        return _WORDS[text.strip()]
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    number_for_text = "string" in types and isinstance(value, int | float) and not types & {"number", "integer"}
    return text if number_for_text and not isinstance(value, bool) else value


def in_order(tool: Tool, written: Callable[[str, Constraint], Constraint], ends: str) -> Constraint:
    """All arguments of a tool in the order of its schema, each as `written` has it; optional ones may be left out.

    `ends` is what closes a value: it cannot be part of a string.
    """
    schema = tool.parameters
    properties = schema.get("properties")
    required = schema.get("required") or ()
    parts: list[Constraint] = []
    for key in properties if isinstance(properties, dict) else ():
        argument = written(key, _value_constraint(property_of(schema, key), schema, ends))
        parts.append(argument if key in required else Choice((argument, NOTHING)))
    return InOrder(tuple(parts))


def _value_constraint(schema: dict[str, Any], root: dict[str, Any], ends: str) -> Constraint:
    """One value and its end."""
    if types_of(schema, root) != {"string"}:
        return InOrder((part_of(root, schema), Literal(ends)))
    values = values_of(schema)
    return either([Literal(f"{value}{ends}") for value in values]) if values else Until(ends)


def with_commas(
    schema: dict[str, Any], member: Callable[[str, dict[str, Any]], Constraint], comma: str
) -> tuple[Constraint, ...]:
    """The properties of a schema in a list with commas: those that are required, then any of the others.

    Where none is required each brings a comma after it, so that the last has one too.
    """
    properties = schema.get("properties")
    keys = list(properties) if isinstance(properties, dict) else []
    required = [key for key in keys if key in (schema.get("required") or ())]
    parts: list[Constraint] = []
    for key in required:
        parts += (
            [Literal(comma), member(key, property_of(schema, key))]
            if parts
            else [member(key, property_of(schema, key))]
        )
    for key in keys:
        if key not in required:
            written = (member(key, property_of(schema, key)), Literal(comma))
            parts.append(Choice((InOrder(written[::-1] if required else written), NOTHING)))
    return tuple(parts)


def part_of(root: dict[str, Any], schema: dict[str, Any]) -> Json:
    """JSON of a part of a schema, with the definitions that it may refer to."""
    return Json({**{key: root[key] for key in ("$defs", "definitions") if key in root}, **schema}, FIELD)
