"""Writes random texts that a constraint allows, as a backend that keeps it would; compiles nothing."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Repeated, Sequence, Triggered, Until

WORDS = ("", "a", "two words", 'a "quoted" one', "line\nbreak", "<b>", "日本", "\\")


def write(constraint: Constraint, random: Random) -> str:
    """One text that the constraint allows."""
    match constraint:
        case Literal(text):
            return text
        case Json(schema):
            return json.dumps(value(schema, random), ensure_ascii=False)
        case Until(end):
            return random.choice(WORDS) + end
        case Sequence(parts):
            return "".join(write(part, random) for part in parts)
        case Choice(options):
            return write(random.choice(options), random)
        case Repeated(item, separator, most):
            count = random.randint(1, min(most or 3, 3))
            return separator.join(write(item, random) for _ in range(count))
        case Triggered(_, items):
            return random.choice(WORDS) + "".join(write(random.choice(items), random) for _ in range(2))


def value(schema: dict[str, Any], random: Random) -> Any:
    """A value of a schema as plain as those of the tests."""
    if "enum" in schema:
        return random.choice(schema["enum"])
    match schema.get("type"):
        case "string":
            return random.choice(WORDS)
        case "integer":
            return random.randint(-9, 9)
        case "boolean":
            return random.random() < 0.5
        case "array":
            return [value(schema["items"], random) for _ in range(random.randint(0, 3))]
        case "object":
            needed = schema.get("required", ())
            properties = schema.get("properties", {})
            return {
                key: value(each, random) for key, each in properties.items() if key in needed or random.random() < 0.5
            }
    return random.choice(WORDS)
