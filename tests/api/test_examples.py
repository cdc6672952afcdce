"""Every request that README and docs show fits the schema of the model that it is for."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config import ModelSpec, Settings
from gateway.models_file import find_models_file, load_specs
from gateway.runtime.registry import task_of
from gateway.tasks.schema import input_schema

ROOT = Path(__file__).parents[2]
SHIPPED = {spec.name: spec for spec in load_specs(find_models_file(Settings()))}
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# A model's name in a path, and a body in quotes of either kind.
CURL = re.compile(r"""(@[\w.-]+/[\w./-]+)(?:\?[^"\s]*)?"?\s[^\n`]*?-d (?:'(\{.*?\})'|"(\{(?:[^"\\]|\\.)*\})")""")


def examples() -> Iterator[tuple[str, Any]]:
    """Every request in README and docs, as model and input: curl calls with JSON, and calls of the official client."""
    for path in PAGES:
        text = re.sub(r"\\\n\s*|\n {7}(?=\{)", " ", path.read_text(encoding="utf-8"))
        for name, plain, escaped in CURL.findall(text):
            document = json.loads(plain or re.sub(r"\$\(.*?\)", "AAAA", escaped).replace('\\"', '"'))
            if "request_id" not in document:
                yield from ((name, one) for one in document.get("requests", [document]))
        for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for call in ast.walk(ast.parse(code)):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "client.ai.run":
                    input = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg is not None}
                    yield ast.literal_eval(call.args[0]), input


@cache
def documented() -> dict[str, ModelSpec]:
    """The rows that docs show, and those that ship."""
    blocks = (block for path in PAGES for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.S | re.M))
    documents = (document for block in blocks for document in yaml.safe_load_all(textwrap.dedent(block)))
    shown = (row for document in documents for row in rows_in(document))
    return {row["name"]: ModelSpec.model_validate(row) for row in shown} | SHIPPED


def rows_in(document: Any) -> list[dict[str, Any]]:
    rows = document.get("models", []) if isinstance(document, dict) else document
    return [row for row in rows if isinstance(row, dict) and "task" in row]


@pytest.mark.parametrize(("name", "document"), list(examples()))
def test_every_example_fits_its_models_schema(name: str, document: Any) -> None:
    Draft202012Validator(input_schema(task_of(documented()[name]))).validate(document)


def test_the_examples_were_found() -> None:
    assert {name for name, _ in examples()} >= {
        "@local/minilm-sentiment",
        "@local/smollm2-135m-instruct",
        "@local/all-minilm-l6-v2",
        "@local/espeak-ng",
        "@local/espeak-ng-aura",
        "@local/seer",
        "@cf/lykon/dreamshaper-8-lcm",
        "@cf/llava-hf/llava-1.5-7b-hf",
        "@cf/meta/llama-3.2-11b-vision-instruct",
    }
