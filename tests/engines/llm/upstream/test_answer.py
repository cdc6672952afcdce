"""Whatever form another server's answer has, and however it is cut, the pieces are ours."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.llm.upstream.answer import Answer
from gateway.engines.llm.upstream.events import Events
from gateway.tasks.generation import Generated, gather
from gateway.tasks.pieces import Piece, RatedToken, Usage

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chat(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta or {}, "finish_reason": finish, **more}]}


def read(*events: dict[str, Any], n: int = 1, stop: tuple[str, ...] = (), per_choice: bool = False) -> Generated:
    answer = Answer(n, stop, usage_per_choice=per_choice)
    found: list[Piece] = [piece for event in events for piece in answer.feed(event)]
    found += answer.end()
    assert [piece.is_last for piece in found] == [False] * (len(found) - 1) + [True]
    return gather(found)


def test_text_reasoning_and_usage() -> None:
    told = read(
        chat({"role": "assistant", "content": None}),
        chat({"reasoning_content": "h"}),
        chat({"reasoning": "m"}),
        chat({"content": "yes"}),
        chat({}, "stop"),
        {"choices": [], "usage": USAGE},
    )
    (choice,) = told.choices
    assert (choice.reasoning, choice.text, choice.finish_reason) == ("hm", "yes", "stop")
    assert told.usage == Usage(7, 3, 4, 2)


def test_a_refusal_is_the_answer() -> None:
    told = read(chat({"content": None, "refusal": "I can"}), chat({"refusal": "not."}), chat({}, "stop"))
    assert told.choices[0].text == "I cannot."


def test_an_answer_in_one_object_is_as_good() -> None:
    message = {"role": "assistant", "content": "yes", "tool_calls": None}
    told = read({"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": USAGE})
    assert (told.choices[0].text, told.choices[0].finish_reason, told.usage) == ("yes", "length", Usage(7, 3, 4, 2))


def test_raw_text_and_its_parallel_lists() -> None:
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [-0.5, None], "top_logprobs": [{"a": -0.5, "c": -2.0}, None]}
    told = read({"choices": [{"index": 0, "text": "ab", "logprobs": logprobs, "finish_reason": "stop"}]})
    assert told.choices[0].text == "ab"
    assert told.choices[0].logprobs == [
        RatedToken("a", -0.5).among([RatedToken("a", -0.5), RatedToken("c", -2.0)]),
        RatedToken("b", -9999.0).among([]),
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"token": "\ufffd", "bytes": [240, 159]}, RatedToken("\\xf0\\x9f", -1.0, b"\xf0\x9f")),
        ({"token": "", "bytes": [32, 240]}, RatedToken(" \\xf0", -1.0, b" \xf0")),
        ({"token": "é", "bytes": [195, 169]}, RatedToken("é", -1.0)),
        ({"token": "\ufffd", "bytes": list("\ufffd".encode())}, RatedToken("\ufffd", -1.0)),
        ({"token": "\ufffd", "bytes": None}, RatedToken("\ufffd", -1.0)),
    ],
    ids=["as-a-sign", "as-nothing", "whole", "the-bytes-of-the-sign", "not-told"],
)
def test_a_token_is_known_by_its_bytes_where_the_server_tells_them(theirs: dict[str, object], ours: RatedToken) -> None:
    entry = {**theirs, "logprob": -1.0}
    told = read(chat({"content": "a"}, logprobs={"content": [{**entry, "top_logprobs": [entry]}]}), chat({}, "stop"))
    assert told.choices[0].logprobs == [ours.among([ours])]


@pytest.mark.parametrize(
    ("theirs", "calls", "ours"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("tool_calls", True, "tool_calls"),
        ("function_call", True, "tool_calls"),
        ("length", True, "length"),
        ("content_filter", False, "content_filter"),
        ("eos_token", False, "stop"),
    ],
)
def test_reasons_to_finish_in_our_words(theirs: str, calls: bool, ours: str) -> None:
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}
    told = read(chat({"tool_calls": [call]} if calls else {"content": "a"}), chat({}, theirs))
    assert told.choices[0].finish_reason == ours


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
def test_the_string_that_stopped_is_told_if_it_is_the_callers(field: str) -> None:
    assert read(chat({}, "stop", **{field: "END"}), stop=("END",)).choices[0].stop == "END"
    assert read(chat({}, "stop", **{field: 128009}), stop=("END",)).choices[0].stop is None


def test_usage_without_a_report_counts_increments() -> None:
    assert read(chat({"content": "a"}), chat({"content": "b"}), chat({}, "stop")).usage == Usage(0, 2)


def test_choices_end_apart_and_their_usage_is_summed_where_each_has_its_own() -> None:
    events = [
        chat({"content": "a"}, index=1),
        chat({}, "stop", index=1),
        {"choices": [], "usage": USAGE},
        chat({"content": "b"}),
        chat({}, "length"),
        {"choices": [], "usage": USAGE},
    ]
    assert read(*events, n=2).usage == Usage(7, 3, 4, 2)
    told = read(*events, n=2, per_choice=True)
    assert [(choice.text, choice.finish_reason) for choice in told.choices] == [("b", "length"), ("a", "stop")]
    assert told.usage == Usage(7, 6, 4, 4)


def test_counts_of_one_choice_among_several_are_not_those_of_all() -> None:
    alone = {"prompt_tokens": 7, "completion_tokens": 1}
    events = [chat({"content": text}, index=index) | {"usage": alone} for index, text in enumerate("ab")]
    ends = [chat({}, "stop", index=index) for index in range(2)]
    assert read(*events, *ends, n=2).usage == Usage(completion_tokens=2)
    assert read(*events, *ends, {"choices": [], "usage": USAGE}, n=2).usage == Usage(7, 3, 4, 2)


@pytest.mark.parametrize(("reason", "arguments"), [("tool_calls", "{}"), ("length", "")])
def test_a_call_without_arguments_has_an_empty_object_unless_it_was_cut(reason: str, arguments: str) -> None:
    told = read(chat({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f"}}]}), chat({}, reason))
    assert told.choices[0].tool_calls[0].arguments == arguments


def part(index: int | None, id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "id": id, "type": "function"}
    return item if index is None else item | {"index": index}


TWO = [("one", "f", {"a": 1}), ("two", "g", {})]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                [part(0, "one", "f", "")],
                [part(0, None, None, '{"a"')],
                [part(0, None, None, ": 1}")],
                [part(1, "two", "g", "{}")],
            ],
            id="in parts",
        ),
        pytest.param(
            [[part(0, "one", "f", '{"a"')], [part(0, "one", "f", ": 1}")], [part(1, "two", "g", "")]],
            id="names repeated, no arguments",
        ),
        pytest.param([[part(0, "one", "f", '{"a": 1}'), part(1, "two", "g", "{}")]], id="whole, at once"),
        pytest.param([[part(None, "one", "f", '{"a": 1}')], [part(None, "two", "g", "{}")]], id="without an index"),
        pytest.param([[part(0, "one", "f", '{"a": 1}')], [part(0, "two", "g", "{}")]], id="all with the same index"),
        pytest.param([[part(0, "one", "f", {"a": 1})], [part(1, "two", "g", None)]], id="arguments as an object"),
        pytest.param([[part(3, "one", "f", '{"a": 1}')], [part(7, "two", "g", "{}")]], id="with gaps"),
        pytest.param(
            [[part(0, "one", None, "")], [part(0, None, "f", '{"a": 1}')], [part(1, "two", "g", "{}")]],
            id="a name that comes late",
        ),
    ],
)
def test_tool_calls_of_every_make_are_one_form(chunks: list[list[dict[str, Any]]]) -> None:
    told = read(*(chat({"tool_calls": chunk}) for chunk in chunks), chat({}, "tool_calls"))
    assert [(call.id, call.name, json.loads(call.arguments)) for call in told.choices[0].tool_calls] == TWO


def test_a_call_without_an_id_gets_one() -> None:
    told = read(chat({"tool_calls": [part(0, None, "f", "{}"), part(1, "", "g", "{}")]}), chat({}, "stop"))
    ids = [call.id for call in told.choices[0].tool_calls]
    assert all(ids)
    assert len(set(ids)) == 2


TEXT = "schöne 🎈 Grüße"
BODY = (
    b": ping\r\n\r\n"
    + b"".join(f"data: {json.dumps({'at': at}, ensure_ascii=False)}\r\n\r\n".encode() for at in TEXT)
    + b'event: x\ndata:{}\n\nerror: {}\n\ndata: [DONE]\n\ndata: {"late": 1}\n\n'
)


@given(st.lists(st.integers(0, len(BODY)), max_size=40))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    events, found = Events(), []
    edges = [0, *sorted(cuts), len(BODY)]
    for start, end in itertools.pairwise(edges):
        found += [event for event, _ in events.feed(BODY[start:end])]
    assert found == [*({"at": at} for at in TEXT), {}, {"error": {}}]
    assert events.done
