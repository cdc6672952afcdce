"""A request has a model think as much as the model can, by what its row says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.engines.llm.effort import settled
from gateway.properties import ReasoningEffort
from gateway.tasks import TASKS
from gateway.tasks.chat_completion import ChatCompletionInput
from tests import tiny
from tests.engines.llm.upstream.asking import HELLO, ask, load
from tests.engines.llm.upstream.scripted import Exchange, chunk, scripted

CHAT = TASKS.get("text-generation", "chat-completion")
GPT_OSS = {"supported_efforts": ["low", "medium", "high"], "default_effort": "medium", "mandatory": True}
KIMI = {"supported_efforts": ["high", "none"], "default_effort": "high"}


@pytest.mark.parametrize(
    ("row", "fields", "think", "effort"),
    [
        (None, {"reasoning_effort": "xhigh"}, None, "xhigh"),
        (GPT_OSS, {}, None, None),
        (GPT_OSS, {"reasoning_effort": "low"}, None, "low"),
        (GPT_OSS, {"reasoning_effort": "xhigh"}, None, "medium"),
        (GPT_OSS, {"reasoning_effort": "none"}, None, "medium"),
        (GPT_OSS, {"chat_template_kwargs": {"enable_thinking": False}}, None, "medium"),
        (GPT_OSS, {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": False}}, None, "high"),
        (KIMI, {"reasoning_effort": "none"}, False, None),
        (KIMI, {"reasoning_effort": "low"}, None, "high"),
    ],
)
def test_a_level_that_a_model_does_not_know_is_its_default(
    row: dict[str, Any] | None, fields: dict[str, Any], think: bool | None, effort: str | None
) -> None:
    input = CHAT.parse({"prompt": "x", **fields})
    assert isinstance(input, ChatCompletionInput)
    known = None if row is None else ReasoningEffort.model_validate(row)
    found = settled(input.generation(), known)
    assert (found.think, found.reasoning_effort) == (think, effort)


def test_another_server_is_asked_for_a_level_that_the_model_knows() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(chunk({"content": "a"}, "stop") + b"data: [DONE]\n\n")

    with scripted(answer) as server:
        engine = load({"url": server.url}, properties={"reasoning_effort": GPT_OSS})
        ask(engine, **HELLO, reasoning_effort="max")
        engine.close()
    assert server.received[0].body["reasoning_effort"] == "medium"


def test_a_template_is_given_a_level_that_the_model_knows(tmp_path: Path) -> None:
    files = tiny.chat_model(tmp_path / "model")
    (files / "chat_template.jinja").write_text(
        "{{ reasoning_effort }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    engine = load({"backend": "transformers"}, files, properties={"reasoning_effort": GPT_OSS})
    counted = [ask(engine, **HELLO, reasoning_effort=effort).usage.prompt_tokens for effort in ("max", "medium", "low")]
    engine.close()
    assert counted == [len("medium") + len("Hi")] * 2 + [len("low") + len("Hi")]
