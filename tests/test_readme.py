"""The README's commands, run as they stand there against a server that `scripts/serve` started."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, gateway

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8787"


def block(language: str, text: str) -> str:
    """The one block of that language which contains `text`."""
    (found,) = [body for kind, body in BLOCKS if kind == language and text in body]
    return str(found)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert "scripts/serve\n" in block("sh", "git clone")
    with gateway(command=(str(ROOT / "scripts" / "serve"),)) as server:
        yield server


def test_the_curl_calls_give_real_answers(server: Server, tmp_path: Path) -> None:
    script = block("sh", "curl").replace(ADDRESS, f"http://127.0.0.1:{server.port}")
    calls = re.split(r"^# (.*)\n", script, flags=re.MULTILINE)
    setup, answers = calls[0], {}
    for title, call in zip(calls[1::2], calls[2::2], strict=True):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", setup + call], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        answers[title] = done.stdout
    assert len(answers) == 5
    labels = {item["label"]: item["score"] for item in json.loads(answers["text classification"])["result"]}
    assert labels["POSITIVE"] > 0.8
    assert "Tokyo" in "".join(re.findall(r'"response":"(.*?)"', answers["text generation, piece by piece"]))
    assert json.loads(answers["text embeddings"])["result"]["shape"] == [3, 384]
    assert (tmp_path / "speech.mp3").stat().st_size > 1000
    assert "the train to london leaves in" in json.loads(answers["speech recognition"])["result"]["text"].lower()


def test_the_official_client_gives_a_real_answer(server: Server) -> None:
    code = block("python", "Cloudflare").replace(ADDRESS, f"http://127.0.0.1:{server.port}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"label='POSITIVE', score=0\.[89]", done.stdout)


def test_every_document_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
