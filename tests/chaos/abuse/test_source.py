"""Classes of attack that no request shows, because their way in is not there: our own sources, read as they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[3] / "gateway"
# What turns bytes into objects by running them, and transports that do so by default.
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "zmq", "Pyro5"}
RUNS_TEXT = {"eval", "exec", "os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load"}


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every node of every module of the package, with the place where it is."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            yield f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}", node


def imported(node: ast.AST) -> set[str]:
    """The top-level modules that it imports."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return {name.partition(".")[0] for name in names}


def shell_is_asked_for(node: ast.AST) -> bool:
    """Whether it is a call with `shell=`, or one that goes through a shell anyway."""
    if not isinstance(node, ast.Call):
        return False
    return any(key.arg == "shell" for key in node.keywords) or "_shell" in ast.unparse(node.func)


def trusts(node: ast.AST) -> bool:
    """Whether it lets a model's folder bring code along."""
    pairs: list[tuple[Any, ast.AST]] = []
    if isinstance(node, ast.Call):
        pairs = [(key.arg, key.value) for key in node.keywords]
    elif isinstance(node, ast.Dict):
        pairs = [(getattr(key, "value", None), value) for key, value in zip(node.keys, node.values, strict=True)]
    return any(name == "trust_remote_code" and ast.unparse(value) != "False" for name, value in pairs)


RULES = {
    "nothing is unpickled": lambda node: imported(node) & UNPICKLERS,
    "no text is run": lambda node: isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS_TEXT,
    "no shell is started": shell_is_asked_for,
    "no code comes with a model": trusts,
}


@pytest.mark.parametrize("rule", RULES)
def test_a_way_in_is_not_there(rule: str) -> None:
    assert [place for place, node in nodes() if RULES[rule](node)] == []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("nothing is unpickled", "from pickle import loads"),
        ("no text is run", "torch.load(path)"),
        ("no shell is started", "subprocess.run(line, shell=True)"),
        ("no code comes with a model", "load(path, trust_remote_code=spec.trust)"),
        ("no code comes with a model", "{'trust_remote_code': True}"),
    ],
)
def test_a_rule_sees_what_it_forbids(rule: str, code: str) -> None:
    assert any(RULES[rule](node) for node in ast.walk(ast.parse(code)))
