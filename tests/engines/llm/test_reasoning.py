"""Reasoning is told apart from the answer, whoever opened its block, and the answer begins with its own words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engines.llm.constraint import Choice, Json, Literal, Sequence, Triggered, Until
from gateway.engines.llm.dialect import Ask, Harmony, Marked
from gateway.engines.llm.reasoning import REASONING_FORMATS
from gateway.engines.llm.tool_formats import FORMATS
from tests.engines.llm.reading import TOOLS, calls_of, cuts, form_reader, read

THINK = Marked(REASONING_FORMATS["think"], FORMATS["hermes"])
CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
PROMPTS = {
    "free": "<|im_start|>assistant\n",
    "open": "<|im_start|>assistant\n<think>\n",
    "closed": "<|im_start|>assistant\n<think>\n\n</think>\n\n",
}
SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("prompt", "text", "reasoning", "answer"),
    [
        ("free", "<think>\nHm, why?\n</think>\n\nBecause.", "Hm, why?", "Because."),
        ("free", "\n<think>Hm</think>Because.\n", "Hm", "Because.\n"),
        ("free", "<think></think>\n\nBecause.", "", "Because."),
        ("free", "No <think>block</think>.", "", "No <think>block</think>."),
        ("free", "  Because.", "", "  Because."),
        ("free", "<thin ice", "", "<thin ice"),
        ("open", "Hm, why?\n</think>\n\nBecause.", "Hm, why?", "Because."),
        ("open", "Hm, a < b, </thin", "Hm, a < b, </thin", ""),
        ("closed", "Because.", "", "Because."),
    ],
)
@settings(max_examples=20, deadline=None)
@given(cuts)
def test_reasoning_ends_where_its_block_does(
    prompt: str, text: str, reasoning: str, answer: str, sizes: list[int]
) -> None:
    choice = read(form_reader(THINK, Ask(prompt=PROMPTS[prompt])), text, sizes)
    assert (choice.reasoning, choice.text) == (reasoning, answer)


@settings(max_examples=20, deadline=None)
@given(cuts)
def test_calls_follow_reasoning(sizes: list[int]) -> None:
    text = f"I could <tool_call>.\n</think>\n\nOne moment.\n{CALL}"
    choice = read(form_reader(THINK, Ask(tools=TOOLS, prompt=PROMPTS["open"])), text, sizes)
    assert (choice.reasoning, choice.text) == ("I could <tool_call>.", "One moment.")
    assert (calls_of(choice), choice.finish_reason) == ([("now", {})], "tool_calls")


@pytest.mark.parametrize("name", REASONING_FORMATS)
@settings(max_examples=20, deadline=None)
@given(st.text("ab <\n", max_size=20), st.text("ab <\n", max_size=20), cuts)
def test_every_format_is_read(name: str, thought: str, answer: str, sizes: list[int]) -> None:
    form = REASONING_FORMATS[name]
    dialect = Marked(form, FORMATS["hermes"])
    choice = read(form_reader(dialect, Ask()), f"{form.opening}{thought}{form.closing}\n\n{answer}", sizes)
    assert (choice.reasoning, choice.text) == (thought.strip(), answer.lstrip())


@settings(max_examples=20, deadline=None)
@given(cuts)
def test_channels_are_reasoning_text_and_calls(sizes: list[int]) -> None:
    text = (
        "<|channel|>analysis<|message|>Why?<|end|><|start|>assistant<|channel|>commentary<|message|>Looking.<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>Now.<|end|>"
        '<|start|>assistant to=functions.now<|channel|>commentary json<|message|>{"a":1}'
    )
    choice = read(form_reader(Harmony(), Ask(tools=TOOLS)), text, sizes)
    assert (choice.reasoning, choice.text) == ("Why?\n\nNow.", "Looking.")
    assert calls_of(choice) == [("now", {"a": 1})]


@pytest.mark.parametrize(
    ("prompt", "think", "constraint"),
    [
        ("closed", None, Json(SCHEMA)),
        ("free", False, Json(SCHEMA)),
        ("open", None, Sequence((Until("</think>"), Literal("\n\n"), Json(SCHEMA)))),
        (
            "free",
            None,
            Choice((Json(SCHEMA), Sequence((Literal("<think>"), Until("</think>"), Literal("\n\n"), Json(SCHEMA))))),
        ),
    ],
)
def test_a_constraint_begins_after_the_reasoning(prompt: str, think: bool | None, constraint: object) -> None:
    assert THINK.form(Ask(schema=SCHEMA, think=think, prompt=PROMPTS[prompt]), ()).constraint == constraint


def test_strict_arguments_are_constrained_where_the_model_is_free_to_call() -> None:
    strict = tuple(tool.model_copy(update={"strict": True}) for tool in TOOLS)
    found = THINK.form(Ask(tools=strict, prompt=PROMPTS["closed"]), ()).constraint
    assert isinstance(found, Triggered)
    assert found.trigger == "<tool_call>"
    assert THINK.form(Ask(tools=TOOLS, prompt=PROMPTS["closed"]), ()).constraint is None
    assert THINK.form(Ask(tools=strict, prompt=PROMPTS["closed"]), ("<tool_call>",)).constraint == found


@pytest.mark.parametrize(
    ("special", "think", "is_part"), [((), None, False), (("<think>",), None, True), (("<think>",), False, False)]
)
def test_a_strict_tool_keeps_nobody_from_thinking_first(
    special: tuple[str, ...], think: bool | None, is_part: bool
) -> None:
    """Free text holds a block that is marked by text, and no special token."""
    strict = (TOOLS[0].model_copy(update={"strict": True}),)
    free = THINK.form(Ask(tools=strict, think=think, prompt=PROMPTS["free"]), special).constraint
    assert isinstance(free, Choice if is_part else Triggered)
