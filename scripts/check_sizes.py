"""Fails on files over 300 lines and functions over 50, unless an exception below gives a reason."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 50
EXCEPTIONS: dict[str, str] = {}


def faults(path: Path) -> list[str]:
    """What is too long in one file."""
    text = path.read_text(encoding="utf-8")
    found = []
    if (lines := len(text.splitlines())) > MAX_FILE_LINES:
        found.append(f"{path}: {lines} lines (at most {MAX_FILE_LINES})")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines (at most {MAX_FUNCTION_LINES})")
    return found


def main() -> int:
    """Check all of the project's Python files; the exit status says whether any is at fault."""
    files = [path for folder in ("gateway", "tests", "scripts") for path in sorted(Path(folder).rglob("*.py"))]
    found = [fault for path in files for fault in faults(path) if str(path) not in EXCEPTIONS]
    print("\n".join(found) or f"sizes: {len(files)} files within bounds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
