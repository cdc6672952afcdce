"""The text of a custom tool's call, read out of what models write, wherever that is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.tasks.custom_text import CustomCalls, InputText
from gateway.tasks.pieces import Piece, ToolCallDelta


def read(*fragments: str) -> str:
    text = InputText()
    return "".join(map(text.feed, fragments))


def cut(written: str, places: list[int]) -> list[str]:
    """The text in parts that end at those places."""
    ends = sorted(place % (len(written) + 1) for place in places)
    return [written[start:end] for start, end in zip([0, *ends], [*ends, len(written)], strict=True)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@given(text=st.text(), places=PLACES, ascii=st.booleans(), spaced=st.booleans())
@example(text='a"\\b/\b\f\n\r\t\0é日😀', places=list(range(100)), ascii=True, spaced=True)
def test_a_text_is_the_same_wherever_its_json_is_cut(text: str, places: list[int], ascii: bool, spaced: bool) -> None:
    separators = (" , ", " : ") if spaced else (",", ":")
    written = json.dumps({"input": text}, ensure_ascii=ascii, separators=separators, indent=1 if spaced else None)
    assert read(*cut(written + " \n", places)) == text


@given(written=st.text(alphabet='{"input: \\ud83dcE0}n\n'), places=PLACES)
@example(written='{"input":"a\\ud83d\\ude00"}', places=list(range(30)))
def test_whatever_is_written_is_read_alike_in_parts_and_whole(written: str, places: list[int]) -> None:
    assert read(*cut(written, places)) == read(written)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"input": "a\\ud83d b"}', "a\ufffd b"),
        ('{"input": "\\ude00\\ud83d\\ud83d\\ude00"}', "\ufffd\ufffd😀"),
        ('{"input": "a\\qb\\u12x"}', "a\\qb\\u12x"),
        ('{"input": "line\nline"}', "line\nline"),
        ('{"input": ""}', ""),
        ("", ""),
    ],
    ids=["half-a-pair", "halves-in-a-row", "unknown-escapes", "raw-newline", "empty", "nothing"],
)
def test_strings_that_are_not_quite_json_lose_nothing(written: str, text: str) -> None:
    assert read(written) == text
    assert read(*written) == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"inp', ""),
        ('{"input": "abc', "abc"),
        ('{"input": "abc\\', "abc"),
        ('{"input": "abc\\ud83d\\ude', "abc"),
        ('{"input": "abc"', "abc"),
    ],
)
def test_what_is_cut_short_is_the_beginning_of_the_text(written: str, text: str) -> None:
    assert read(*written) == text


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        '{"code": "x"}',
        '{"inputs": "x"}',
        '{"in put": "x"}',
        '{"input": {"a": [1]}}',
        '"x"',
        "print(1)",
        ' {"input": 5}',
    ],
)
def test_arguments_of_another_form_are_the_text_as_they_stand(written: str) -> None:
    assert read(*written) == read(written) == written


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"input": "a", "b": 1}', 'a", "b": 1}'),
        ('{"input": "a" } {"input": "b"}', 'a" } {"input": "b"}'),
    ],
)
def test_what_follows_the_string_is_kept_as_it_was_written(written: str, text: str) -> None:
    assert read(*written) == read(written) == text


def test_calls_are_told_apart_by_choice_and_index() -> None:
    calls = CustomCalls({"run"})
    begun = [ToolCallDelta(0, "c0", "run", '{"input'), ToolCallDelta(1, "c1", "f", '{"input')]
    first, second = calls.read(Piece(tool_calls=begun)).tool_calls
    assert (first.arguments, first.is_custom, second.arguments, second.is_custom) == ("", True, '{"input', False)
    other = calls.read(Piece(index=1, tool_calls=[ToolCallDelta(0, "c2", "run", '{"input": "x')])).tool_calls
    assert [delta.arguments for delta in other] == ["x"]
    assert calls.read(Piece(tool_calls=[ToolCallDelta(0, arguments='": ')])).tool_calls == []
    (told,) = calls.read(Piece(tool_calls=[ToolCallDelta(0, arguments='"y')])).tool_calls
    assert (told.arguments, told.id, told.name) == ("y", None, None)
