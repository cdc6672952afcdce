"""JSON Schemas from strangers, to constrain an answer: how large, deep and intricate they may be; compiles nothing."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from gateway.tasks.validation import schema_error

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_PATTERN_CHARACTERS = 512
MAX_REPETITIONS = 1_000
# Around -2^63, which as a constant ends a process that compiles it: llguidance 1.9 calls itself without end.
FATAL = -(10**19), -9 * 10**18
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def check(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself; raises a schema error that says which bound it breaks.

    Engines turn a schema into an automaton, whose size these bounds limit; they limit the time as well.
    """
    if len(orjson.dumps(schema, option=orjson.OPT_NON_STR_KEYS)) > MAX_BYTES:
        raise schema_error(f"a JSON Schema must not be larger than {MAX_BYTES} bytes")
    level: list[Any] = [schema]
    nodes = 0
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        if nodes > MAX_NODES:
            raise schema_error(f"a JSON Schema must not have more than {MAX_NODES} parts")
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return schema
    raise schema_error(f"a JSON Schema must not be nested deeper than {MAX_DEPTH} levels")


def _children(node: Any) -> list[Any]:
    values = node if isinstance(node, list) else list(node.values())
    for value in values:
        _check_number(value)
    if isinstance(node, dict):
        _check_object(node)
    return [child for child in values if isinstance(child, dict | list)]


def _check_number(value: Any) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and FATAL[0] < value < FATAL[1]:
        raise schema_error("a number of a JSON Schema must not be between -10^19 and -9·10^18")


def _check_object(node: dict[str, Any]) -> None:
    pattern = node.get("pattern")
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN_CHARACTERS:
        raise schema_error(f"'pattern' of a JSON Schema must not be longer than {MAX_PATTERN_CHARACTERS} characters")
    enum = node.get("enum")
    for value in (node.get("const"), *(enum if isinstance(enum, list) else ())):
        if isinstance(value, int) and int(float(value)) != value:
            raise schema_error("an integer in 'enum' or 'const' of a JSON Schema must be one that a 64-bit float holds")
    for name in _COUNTS:
        count = node.get(name)
        if isinstance(count, int | float) and not isinstance(count, bool) and not 0 <= count <= MAX_REPETITIONS:
            raise schema_error(f"'{name}' of a JSON Schema must be from 0 to {MAX_REPETITIONS}")
    reference = node.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise schema_error("'$ref' of a JSON Schema must point into the schema itself, with '#'")


BoundedSchema = Annotated[dict[str, Any], AfterValidator(check)]
