"""Each family's tool calls are read as they were written, wherever the text is cut, and all else is text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engines.llm.dialect import Ask, Dialect, Harmony, Marked
from gateway.engines.llm.tool_formats import FORMATS
from gateway.engines.llm.tool_formats.base import without
from tests.engines.llm.reading import TOOLS, Call, calls_of, cuts, form_reader, read, reader_of, told

DIALECTS: dict[str, Dialect] = {name: Marked(None, form) for name, form in FORMATS.items()} | {"harmony": Harmony()}


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def objects(calls: Sequence[Call], key: str = "arguments") -> list[str]:
    return [dumps({"name": name, key: arguments}) for name, arguments in calls]


def plain(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)


def gemma(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{gemma(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(gemma, value)) + "]"
    return f'<|"|>{value}<|"|>' if isinstance(value, str) else dumps(value)


def qwen_coder(call: Call) -> str:
    inside = "".join(f"<parameter={key}>\n{plain(value)}\n</parameter>\n" for key, value in call[1].items())
    return f"<tool_call>\n<function={call[0]}>\n{inside}</function>\n</tool_call>"


def glm(call: Call, line: str) -> str:
    pairs = (
        f"<arg_key>{key}</arg_key>{line}<arg_value>{plain(value)}</arg_value>{line}" for key, value in call[1].items()
    )
    return f"<tool_call>{call[0]}{line}{''.join(pairs)}</tool_call>"


def deepseek(call: Call, *, fenced: bool) -> str:
    name, arguments = call[0], dumps(call[1])
    body = f"function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```" if fenced else f"{name}<｜tool▁sep｜>{arguments}"
    return f"<｜tool▁call▁begin｜>{body}<｜tool▁call▁end｜>"


def deepseeks(calls: Sequence[Call], *, fenced: bool) -> str:
    inside = ("\n" if fenced else "").join(deepseek(call, fenced=fenced) for call in calls)
    return f"<｜tool▁calls▁begin｜>{inside}<｜tool▁calls▁end｜>"


def kimi(calls: Sequence[Call]) -> str:
    inside = "".join(
        f"<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>{dumps(arguments)}<|tool_call_end|>"
        for index, (name, arguments) in enumerate(calls)
    )
    return f"<|tool_calls_section_begin|>{inside}<|tool_calls_section_end|>"


def python(call: Call) -> str:
    return f"{call[0]}({', '.join(f'{key}={value!r}' for key, value in call[1].items())})"


def channel(call: Call) -> str:
    return (
        f"<|channel|>commentary to=functions.{call[0]} <|constrain|>json<|message|>{dumps(call[1])}<|call|>"
        "<|start|>assistant"
    )


WRITTEN: dict[str, Callable[[Sequence[Call]], str]] = {
    "hermes": lambda calls: "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in objects(calls)),
    "nemotron": lambda calls: f"<TOOLCALL>[{', '.join(objects(calls))}]</TOOLCALL>",
    "qwen-coder": lambda calls: "\n".join(map(qwen_coder, calls)),
    "glm": lambda calls: "\n".join(glm(call, "\n") for call in calls),
    "glm-compact": lambda calls: "".join(glm(call, "") for call in calls),
    "mistral": lambda calls: f"[TOOL_CALLS] [{', '.join(objects(calls))}]",
    "mistral-tagged": lambda calls: "".join(f"[TOOL_CALLS]{name}[ARGS]{dumps(given)}" for name, given in calls),
    "deepseek": lambda calls: deepseeks(calls, fenced=True),
    "deepseek-bare": lambda calls: deepseeks(calls, fenced=False),
    "kimi": kimi,
    "gemma": lambda calls: "".join(f"<|tool_call>call:{name}{gemma(given)}<tool_call|>" for name, given in calls),
    "granite": lambda calls: f"<|tool_call|>[{', '.join(objects(calls))}]",
    "pythonic": lambda calls: f"[{', '.join(map(python, calls))}]",
    "llama": lambda calls: "; ".join(objects(calls, "parameters")),
    "harmony": lambda calls: "".join(map(channel, calls)),
}
# Families whose answer is calls and nothing else.
BARE = ("pythonic", "llama")

words = st.text("ab <>[]{}()\"'\\/|:,=\né😀_", max_size=12).filter(lambda text: '<|"|>' not in text)
names = st.text("abc_", min_size=1, max_size=5)
numbers = st.integers(-(2**53), 2**53)
values = st.recursive(
    words | numbers | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
arguments = st.fixed_dictionaries(
    {"city": words},
    optional={
        "days": numbers,
        "hot": st.booleans(),
        "places": st.lists(words, max_size=3),
        "where": st.dictionaries(names, values, max_size=3),
    },
)
calls = st.tuples(st.just("get_weather"), arguments) | st.just(("now", {}))
some_calls = st.lists(calls, min_size=1, max_size=3)


def test_every_format_is_written_here() -> None:
    assert WRITTEN.keys() == DIALECTS.keys()


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=30, deadline=None)
@given(some_calls, cuts)
def test_calls_are_read_as_they_were_written(name: str, made: list[Call], sizes: list[int]) -> None:
    choice = read(form_reader(DIALECTS[name]), WRITTEN[name](made), sizes)
    assert calls_of(choice) == made
    assert (choice.text, choice.reasoning, choice.finish_reason) == ("", "", "tool_calls")


@pytest.mark.parametrize("name", [name for name in WRITTEN if name not in (*BARE, "harmony")])
@settings(max_examples=20, deadline=None)
@given(some_calls, cuts)
def test_words_before_calls_are_text_without_the_space_between(name: str, made: list[Call], sizes: list[int]) -> None:
    choice = read(reader_of(name), f"Let me see. \n\n{WRITTEN[name](made)}\n", sizes)
    assert (choice.text, calls_of(choice)) == ("Let me see.", made)


# What looks like markup and is none, or is some that never ends.
NOISE = ["<tool_", "call>", "<tool_call", ">", "[TOOL", "_CALLS", "]", "[", "{", '{"name":"', "now", "now(", '"', "}"]
NOISE += ["<|", "<|tool_call", "<｜tool", "<function", "=", "<think", "\\", "é", "```json"]
noise = st.lists(st.sampled_from([*NOISE, " ", "\n", "  "]), max_size=12).map("".join)
MARKS = [mark for dialect in DIALECTS.values() for mark in dialect.markers]


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=30, deadline=None)
@given(noise.filter(lambda text: not any(mark in text for mark in MARKS) and "now" not in text), cuts)
def test_text_without_calls_comes_through_unchanged(name: str, text: str, sizes: list[int]) -> None:
    choice = read(form_reader(DIALECTS[name]), text, sizes)
    assert (choice.text, choice.tool_calls, choice.finish_reason) == (text, [], "stop")


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(MARKS) | noise, max_size=10).map("".join), cuts, st.sampled_from(["stop", "length"]))
def test_any_cutting_gives_the_same_and_shows_no_marker(name: str, text: str, sizes: list[int], reason: str) -> None:
    whole = read(form_reader(DIALECTS[name]), text, (), reason)
    assert told(read(form_reader(DIALECTS[name]), text, sizes, reason)) == told(whole)
    opening = "<|channel|>" if name == "harmony" else FORMATS[name].opening
    # What stands on either side of a marker may make up another.
    assert not opening or opening not in whole.text or opening in without(text, DIALECTS[name].markers)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=30, deadline=None)
@given(some_calls, st.data())
def test_a_call_that_the_length_cuts_is_no_text_and_no_whole_call(name: str, made: list[Call], data: Any) -> None:
    text = WRITTEN[name](made)
    end = data.draw(st.integers(1, len(text)))
    choice = read(form_reader(DIALECTS[name]), text[:end], (), "length")
    assert choice.finish_reason == "length"
    whole = [call for call in choice.tool_calls if is_object(call.arguments)]
    assert [(call.name, json.loads(call.arguments)) for call in whole] == made[: len(whole)]
    assert any(mark.startswith(choice.text) for mark in MARKS), "only what may have become a marker is text"


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("name", "text", "made", "words"),
    [
        ("hermes", '<tool_call>{"arguments": {"city": "a"}, "name": "f"}</tool_call>', [("f", {"city": "a"})], ""),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{\\"city\\": 1}"}', [("f", {"city": 1})], ""),
        ("hermes", '<tool_call>[{"name": "f"}, {"name": "g", "arguments": null}]', [("f", {}), ("g", {})], ""),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"a": "x\ny"}}}</tool_call>', [("f", {"a": "x\ny"})], ""),
        ("hermes", '<tool_call>{"name": "f", "arguments": {}, "arguments": {"a": 1}}', [("f", {})], ""),
        ("hermes", 'One.\n<tool_call>{"name": "f"}</tool_call>\nTwo.\n', [("f", {})], "One.\n\nTwo."),
        ("hermes", '\n<tool_call>{"name": "f"}</tool_call>\nTwo.', [("f", {})], "Two."),
        ("hermes", "<tool_call>I do not know</tool_call> how.", [], "I do not know how."),
        ("hermes", '<tool_call>\n{"city": "a"}\n</tool_call>', [], '{"city": "a"}'),
        ("hermes", '{"name": "f", "arguments": {}}', [], '{"name": "f", "arguments": {}}'),
        ("qwen-coder", "<function=now>\n</function>\n</tool_call>", [("now", {})], ""),
        ("mistral-tagged", "[TOOL_CALLS]now[CALL_ID]abc[ARGS]{}", [("now", {})], ""),
        ("mistral-tagged", "[TOOL_CALLS] [TOOL_CALLS]now[ARGS]{}[TOOL_CALLS][ARGS]{}", [("now", {})], ""),
        ("hermes", '<tool_call>{"name": "<tool_call>', [], '{"name": "'),
        ("llama", '<|python_tag|>{"name": "now", "parameters": {}}', [("now", {})], ""),
        ("llama", '{"type": "function", "name": "now", "parameters": {}}', [("now", {})], ""),
        ("llama", '{"name": "Ada", "born": 1815}', [], '{"name": "Ada", "born": 1815}'),
        ("llama", '{"answer": {"name": "now"}}', [], '{"answer": {"name": "now"}}'),
        ("pythonic", '[get_weather(city="a", hot=true,)]', [("get_weather", {"city": "a", "hot": True})], ""),
        ("pythonic", "[1] says now() is a call.", [], "[1] says now() is a call."),
        ("harmony", "<|channel|>final<|message|>Hi<|return|>", [], "Hi"),
        ("harmony", "Hi", [], "Hi"),
    ],
)
def test_forms_that_models_fall_into(name: str, text: str, made: list[Call], words: str) -> None:
    choice = read(form_reader(DIALECTS[name]), text)
    assert (calls_of(choice), choice.text) == (made, words)


def test_arguments_come_as_they_are_written() -> None:
    reader = reader_of("hermes")
    pieces = [
        reader.feed(text)
        for text in ("<tool_call>", '{"name": "now"', ', "arguments": {"a": "on', 'e"', "}}", "</tool_call>")
    ]
    deltas = [[(delta.name, delta.arguments) for delta in piece.tool_calls] for piece in pieces]
    assert deltas == [[], [("now", "")], [(None, '{"a":"on')], [(None, 'e"')], [(None, "}")], []]


@pytest.mark.parametrize("name", WRITTEN)
def test_one_call_is_given_where_calls_may_not_be_parallel(name: str) -> None:
    made: list[Call] = [("get_weather", {"city": "a"}), ("now", {})]
    choice = read(form_reader(DIALECTS[name], Ask(tools=TOOLS, most=1)), WRITTEN[name](made))
    assert (calls_of(choice), choice.text) == (made[:1], "")


def test_deep_nesting_ends_a_call_and_not_the_worker() -> None:
    choice = read(reader_of("hermes"), '<tool_call>{"name": "f", "arguments": {"a": ' + "[" * 100_000)
    assert choice.tool_calls[0].name == "f"
    assert len(choice.tool_calls[0].arguments) < 100
