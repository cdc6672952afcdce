"""Llama Guard's form: which conversations it takes, and what the model's words mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.errors import BadInput
from gateway.tasks import Piece, Usage
from gateway.tasks.safety import TASK, Verdict, verdict

USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("safe", Verdict(safe=True, categories=[])),
        ("\n\nsafe\n", Verdict(safe=True, categories=[])),
        ("\n\nunsafe\nS1", Verdict(safe=False, categories=["S1"])),
        ("unsafe\nS1, S10", Verdict(safe=False, categories=["S1", "S10"])),
        ("unsafe", Verdict(safe=False, categories=[])),
        ("I would say safe", Verdict(safe=False, categories=[])),
        ("", Verdict(safe=False, categories=[])),
    ],
)
def test_the_verdict_of_the_models_words(text: str, said: Verdict) -> None:
    assert verdict(text) == said


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "Length of '/messages' must be >= 1"),
        ([ASSISTANT], "'/messages/0/role' must alternate"),
        ([USER, USER], "'/messages/1/role' must alternate"),
        ([USER, ASSISTANT, ASSISTANT], "'/messages/2/role' must alternate"),
        ([{"role": "system", "content": "x"}], "'/messages/0/role' must be one of 'user' or 'assistant'"),
    ],
)
def test_conversations_that_are_refused(messages: list[Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        TASK.parse({"messages": messages})
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("body", "response"),
    [({}, "unsafe\nS2"), ({"response_format": {"type": "json_object"}}, {"safe": False, "categories": ["S2"]})],
)
def test_the_answer_is_words_or_an_object_as_asked(body: dict[str, Any], response: Any) -> None:
    assert TASK.collect is not None
    pieces = [Piece(text="unsafe"), Piece(text="\nS2", finish_reason="stop", usage=Usage(3, 4))]
    answer = TASK.encode(TASK.collect(pieces, TASK.parse({"messages": [USER], **body})))
    assert orjson.loads(answer.body)["response"] == response
    assert answer.usage == Usage(3, 4)
