"""JSON Schema to grammar: whatever the grammar allows fits the schema, though not all that fits is allowed.

Objects have the properties that the schema names, in its order, and others only where it names none. No white space
is written. What cannot be promised is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.engines.llm.ebnf import numbers, strings
from gateway.engines.llm.ebnf.disjoint import are_disjoint
from gateway.engines.llm.ebnf.formats import PATTERNS, WITHOUT_EFFECT
from gateway.engines.llm.ebnf.merging import ANNOTATIONS, Schema, merged, types_of
from gateway.engines.llm.ebnf.objects import Shape, free_object, object_rule
from gateway.engines.llm.ebnf.patterns import matching_string
from gateway.engines.llm.ebnf.rules import EMPTY, Rules, Unsupported, literal
from gateway.engines.llm.ebnf.tree import Tree

REFUSED = (
    *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "patternProperties"),
    *("propertyNames", "contains", "minContains", "maxContains", "unevaluatedItems", "unevaluatedProperties"),
    *("additionalItems", "$dynamicRef", "$recursiveRef"),
)
_FAMILIES = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
}
_ALL_TYPES = ("object", "array", "string", "number", "boolean", "null")
MAX_NESTED = 200


class SchemaGrammar:
    """Writes schemas of one document into `rules`. A schema met again, also inside itself, is the same rule."""

    def __init__(self, rules: Rules, document: Schema) -> None:
        self._rules = rules
        self._tree = Tree(document)
        self._known: dict[str, str] = {}
        self._open: list[str] = []
        self._depth = 0

    def expression(self, schema: Any, where: str = "") -> str:
        """The rule of a schema; raises `Unsupported`."""
        if schema is True or schema == {}:
            return self._anything()
        if not isinstance(schema, dict):
            raise Unsupported(where, "a schema that nothing fits" if schema is False else "no schema")
        demands = {keyword: value for keyword, value in schema.items() if keyword not in ANNOTATIONS}
        key = json.dumps(demands, sort_keys=True)
        if key in self._open:
            raise Unsupported(where, "a '$ref' to the very value that it describes")
        if key not in self._known:
            self._known[key] = self._rules.name()
            self._depth += 1
            if self._depth > MAX_NESTED:
                raise Unsupported(where, "schemas that repeat each other without end")
            self._open.append(key)
            self._rules.define(self._known[key], self._body(demands, where))
            self._open.pop()
            self._depth -= 1
        return self._known[key]

    def _inside(self, schema: Any, where: str) -> str:
        """The rule of a schema for a part of the value: something stands before it, so it may be its own part."""
        around, self._open = self._open, []
        try:
            return self.expression(schema, where)
        finally:
            self._open = around

    def _anything(self) -> str:
        rules = self._rules
        if "" not in self._known:
            self._known[""] = value = rules.name()
            string, number = strings.any_string(rules), rules.rule(numbers.NUMBER)
            array = rules.rule(f'"[" {rules.times(value, 0, None, literal(","))} "]"')
            options = (free_object(rules, value), array, string, number, '"true"', '"false"', '"null"')
            rules.define(value, " | ".join(options))
        return self._known[""]

    def _body(self, schema: Schema, where: str) -> str:
        for keyword in REFUSED:
            if keyword in schema:
                raise Unsupported(f"{where}/{keyword}", f"'{keyword}' is not supported")
        if "$ref" in schema or "allOf" in schema:
            return self.expression(self._tree.flat(schema, where), where)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._union(keyword, schema, where)
        if "const" in schema:
            schema = merged(
                {key: value for key, value in schema.items() if key != "const"}, {"enum": [schema["const"]]}, where
            )
        if "enum" in schema:
            return self._values(schema, where)
        types = types_of(schema["type"]) if "type" in schema else _implied_types(schema)
        if "number" in types:
            types = [name for name in types if name != "integer"]
        if not types:
            raise Unsupported(where, "types that no value has together")
        return " | ".join(self._typed(str(name), schema, where) for name in dict.fromkeys(types))

    def _union(self, keyword: str, schema: Schema, where: str) -> str:
        rest = {key: value for key, value in schema.items() if key != keyword}
        options = schema[keyword]
        if not isinstance(options, list) or not options:
            raise Unsupported(f"{where}/{keyword}", f"'{keyword}' must be a list of schemas")
        places = [f"{where}/{keyword}/{index}" for index in range(len(options))]
        flat = [self._tree.flat(option, place) for option, place in zip(options, places, strict=True)]
        if keyword == "oneOf" and not all(
            isinstance(one, dict) and isinstance(other, dict) and are_disjoint(one, other)
            for index, one in enumerate(flat)
            for other in flat[:index]
        ):
            raise Unsupported(f"{where}/oneOf", "'oneOf' with options that may fit together (use 'anyOf')")
        wholes = [
            merged(rest, option, place) if rest and isinstance(option, dict) else option
            for option, place in zip(flat, places, strict=True)
        ]
        return " | ".join(self.expression(whole, place) for whole, place in zip(wholes, places, strict=True))

    def _values(self, schema: Schema, where: str) -> str:
        others = set(schema) - {"enum", "type"}
        if others:
            raise Unsupported(f"{where}/enum", f"'{min(others)}' beside 'enum' or 'const' is not supported")
        values = schema["enum"]
        if "type" in schema:
            types = types_of(schema["type"])
            values = [value for value in values if any(_has_type(value, name) for name in types)]
        if not values:
            raise Unsupported(f"{where}/enum", "an 'enum' without a value that fits")
        return " | ".join(dict.fromkeys(literal(_compact(value)) for value in values))

    def _typed(self, name: str, schema: Schema, where: str) -> str:
        makers: dict[str, Callable[[Schema, str], str]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "integer": self._number,
            "boolean": lambda *_: '"true" | "false"',
            "null": lambda *_: '"null"',
        }
        if name not in makers:
            raise Unsupported(f"{where}/type", f"the type '{name[:40]}' does not exist")
        if name == "integer":
            schema = {**schema, "type": "integer"}
        elif name == "number":
            schema = {**schema, "type": "number"}
        return makers[name](schema, where)

    def _object(self, schema: Schema, where: str) -> str:
        shape = Shape.of(schema, where)
        if not shape.names and shape.additional is not False:
            return free_object(self._rules, self._inside(shape.additional, where), shape.least, shape.most)
        values = {name: self._inside(value, f"{where}/properties/{name}") for name, value in shape.kept()}
        return object_rule(self._rules, shape, values)

    def _array(self, schema: Schema, where: str) -> str:
        least, most = _count(schema, "minItems", where) or 0, _count(schema, "maxItems", where)
        if schema.get("uniqueItems") not in (None, False) and (most is None or most > 1):
            raise Unsupported(f"{where}/uniqueItems", "'uniqueItems' is not supported")
        first, items = schema.get("prefixItems", []), schema.get("items", True)
        if not isinstance(first, list) or isinstance(items, list):
            raise Unsupported(f"{where}/items", "'items' must be one schema, and 'prefixItems' a list of them")
        if most is not None and least > most:
            raise Unsupported(f"{where}/minItems", "'minItems' is larger than 'maxItems'")
        first = first[:most]
        comma, rules = literal(","), self._rules
        parts = [self._inside(item, f"{where}/prefixItems/{index}") for index, item in enumerate(first)]
        if first and ("items" not in schema or items is False or least <= len(first)) and least <= len(first):
            body = f" {comma} ".join(parts)
        elif items is False or most == 0:
            if least:
                raise Unsupported(f"{where}/minItems", "'minItems' is larger than the number of items allowed")
            body = EMPTY
        else:
            item = self._inside(items, f"{where}/items")
            rest = rules.times(item, max(0, least - len(first)), most - len(first) if most is not None else None, comma)
            body = f" {comma} ".join([*parts, rest])
        return rules.rule(f'"[" {body} "]"')

    def _string(self, schema: Schema, where: str) -> str:
        least, most = _count(schema, "minLength", where) or 0, _count(schema, "maxLength", where)
        pattern, format = schema.get("pattern"), schema.get("format")
        if format in WITHOUT_EFFECT:
            format = None
        if pattern is None and format is None:
            if most is not None and least > most:
                raise Unsupported(f"{where}/minLength", "'minLength' is larger than 'maxLength'")
            if not least and most is None:
                return strings.any_string(self._rules)
            return strings.sized_string(self._rules, least, most, where)
        if least or most is not None or (pattern is not None and format is not None):
            raise Unsupported(where, "lengths, 'pattern' and 'format' are supported one at a time")
        if pattern is None and format not in PATTERNS:
            raise Unsupported(f"{where}/format", f"the format '{str(format)[:40]}' is not supported")
        if pattern is not None and not isinstance(pattern, str):
            raise Unsupported(f"{where}/pattern", "'pattern' must be a regular expression")
        if pattern is None:
            return matching_string(self._rules, PATTERNS[str(format)], f"{where}/format")
        return matching_string(self._rules, pattern, f"{where}/pattern")

    def _number(self, schema: Schema, where: str) -> str:
        is_integer = schema["type"] == "integer"
        step = schema.get("multipleOf")
        if step is not None and not (is_integer and step == 1):
            raise Unsupported(f"{where}/multipleOf", "'multipleOf' is not supported")
        bounds = _bounds(schema, where)
        return (numbers.integer if is_integer else numbers.number)(self._rules, bounds, where)


def _implied_types(schema: Schema) -> list[str]:
    """Without `type`, keywords for one type let values of all others pass: of those that fit, the types meant."""
    families = [name for name, keywords in _FAMILIES.items() if any(keyword in schema for keyword in keywords)]
    return families or list(_ALL_TYPES)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _has_type(value: Any, name: Any) -> bool:
    if name == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds.get(name, ()))


def _count(schema: Schema, keyword: str, where: str) -> int | None:
    value = schema.get(keyword)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise Unsupported(f"{where}/{keyword}", f"'{keyword}' must be a whole number")


def _bounds(schema: Schema, where: str) -> numbers.Bounds:
    known: dict[str, Decimal] = {}
    for keyword in _FAMILIES["number"][:4]:
        value = schema.get(keyword)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise Unsupported(f"{where}/{keyword}", f"'{keyword}' must be a number")
        if value is not None:
            known[keyword] = Decimal(str(value))
    low, above = known.get("minimum"), known.get("exclusiveMinimum")
    high, below = known.get("maximum"), known.get("exclusiveMaximum")
    excludes_low = above is not None and (low is None or above >= low)
    excludes_high = below is not None and (high is None or below <= high)
    return numbers.Bounds(above if excludes_low else low, below if excludes_high else high, excludes_low, excludes_high)
