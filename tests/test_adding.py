"""docs/adding.md, walked through: its engine and its task, as they stand there, serve their rows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests.server import ACCOUNT, gateway

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "adding.md").read_text()
BEARER = {"authorization": "Bearer any"}


def block(language: str, text: str) -> str:
    """The one block of that language which contains `text`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    (found,) = [body for body in blocks if text in body]
    return str(found)


def serve(folder: Path, name: str, row: str) -> tuple[dict[str, object], dict[str, object]]:
    """The answer of the row's model to a text, and the schemas that the catalogue has of it."""
    (folder / "models.yaml").write_text(row)
    arguments = ("--models", str(folder / "models.yaml"), "--home", str(folder / "home"), "--no-pull")
    with gateway(*arguments, env={"PYTHONPATH": str(folder)}, cwd=folder) as server:
        answer = httpx.post(server.run_url(name), json={"text": "two words"}, headers=BEARER, timeout=60)
        catalogue = f"{server.base_url}/accounts/{ACCOUNT}/ai/models/schema?model={name}"
        schema = httpx.get(catalogue, headers=BEARER, timeout=60)
    return answer.json(), schema.json()


def test_an_engine_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "pond.py").write_text(block("python", "Measures texts"))
    answer, _ = serve(tmp_path, "@local/pond", block("yaml", "@local/pond"))
    assert answer["result"] == [{"label": "LENGTH", "score": 9.0}]


def test_a_task_with_its_engine(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    tasks = tmp_path / "gateway" / "tasks"
    (tasks / "word_count.py").write_text(block("python", "Word count: a text in"))
    (tmp_path / "gateway" / "engines" / "counter.py").write_text(block("python", "Counts words"))
    listed = (tasks / "__init__.py").read_text()
    listed = listed.replace("    translation,\n", "    translation,\n    word_count,\n")
    listed = listed.replace("        translation.TASK,\n", "        translation.TASK,\n        word_count.TASK,\n")
    (tasks / "__init__.py").write_text(listed)
    answer, schema = serve(tmp_path, "@local/counter", block("yaml", "@local/counter"))
    assert answer["result"] == {"words": 2}
    result = schema["result"]
    assert isinstance(result, dict)
    assert result["input"]["properties"]["text"]["maxLength"] == 10_000


@pytest.mark.parametrize("path", re.findall(r"`(gateway/[\w/]+(?:\.py)?)`", TEXT))
def test_the_places_it_names_exist_or_are_the_examples(path: str) -> None:
    examples = {"gateway/engines/pond.py", "gateway/tasks/word_count.py", "gateway/engines/counter.py"}
    assert path in examples or (ROOT / path).exists() or path.endswith("NAME.py")
