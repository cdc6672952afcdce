"""Follows the references of one schema document and joins what `allOf` lists; knows no grammar."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from gateway.engines.llm.ebnf.merging import ANNOTATIONS, Schema, merged
from gateway.engines.llm.ebnf.rules import Unsupported

MAX_HOPS = 64


class Tree:
    """One document; its references point into it."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def flat(self, schema: Any, where: str, hops: int = 0) -> Any:
        """The schema without `$ref` and `allOf` of its own; those of its parts stay. Raises `Unsupported`."""
        if not isinstance(schema, dict) or not ("$ref" in schema or "allOf" in schema):
            return schema
        if hops > MAX_HOPS:
            raise Unsupported(where, "a '$ref' that leads back to itself")
        others = [schema["$ref"]] if "$ref" in schema else []
        parts = [self._target(reference, where) for reference in others]
        listed = schema.get("allOf", [])
        if not isinstance(listed, list):
            raise Unsupported(f"{where}/allOf", "'allOf' must be a list of schemas")
        whole = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", *ANNOTATIONS)}
        for part in (*parts, *listed):
            flat = self.flat(part, where, hops + 1)
            if flat is True:
                continue
            if not isinstance(flat, dict):
                raise Unsupported(where, "a schema that nothing fits")
            demands = {key: value for key, value in flat.items() if key not in ANNOTATIONS}
            whole = merged(whole, demands, where) if whole else demands
        return whole

    def _target(self, reference: Any, where: str) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise Unsupported(f"{where}/$ref", "a '$ref' that is not of the form '#/…'")
        node: Any = self._document
        for part in reference.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            elif isinstance(node, dict) and name in node:
                node = node[name]
            else:
                raise Unsupported(f"{where}/$ref", f"'{reference[:80]}' leads nowhere")
        return node
