"""What a request has cost is known at each of its pieces, and when its caller leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.tasks import TASKS, Usage
from tests import tiny
from tests.engines.llm.streams import load

CHAT = TASKS.get("text-generation", "chat-completion")


@pytest.mark.parametrize("n", [1, 3])
def test_counts_grow_with_the_pieces_and_are_told_to_who_drops(tmp_path: Path, n: int) -> None:
    engine = load(tiny.chat_model(tmp_path / "tiny"))
    engine.admit(1, CHAT.parse({"prompt": "abc", "n": n, "max_tokens": 64, "ignore_eos": True}))
    seen: list[Usage] = []
    while len(seen) < 4 * n:
        for _, piece in engine.step():
            assert not isinstance(piece, GatewayError)
            assert piece.usage is not None
            assert not piece.is_last
            seen.append(piece.usage)
    counts = [usage.completion_tokens for usage in seen]
    assert counts == sorted(counts)
    assert {usage.prompt_tokens for usage in seen} == {seen[0].prompt_tokens}
    spent = engine.drop(1)
    assert spent is not None
    assert spent.completion_tokens >= counts[-1] >= len(seen)
    assert engine.drop(1) is None
