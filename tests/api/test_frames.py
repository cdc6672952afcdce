"""Whatever an answer is made of and however its pieces are cut, its stream says what the whole answer says."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.chat_frames import ChatFrames
from gateway.api.frames import Frames, NativeFrames
from gateway.api.response_frames import ResponseFrames
from gateway.api.run_frames import RunChatFrames
from gateway.tasks import TASKS, Origin, Piece, Task
from gateway.tasks.pieces import ToolCallDelta, Usage
from tests.api.events import events, frames
from tests.api.test_chat_completions import joined

ORIGIN = Origin("0b1c", "a" * 32, "@cf/test/say")
TOOLS = [{"name": "weather", "parameters": {"type": "object"}}]
TEXT = st.text(max_size=6)
ARGUMENTS = st.dictionaries(TEXT, st.integers() | TEXT, max_size=3).map(json.dumps)


@st.composite
def choices(draw: st.DrawFn, index: int) -> list[Piece]:
    """The pieces of one choice but the last: thoughts, then text, then calls with their arguments in parts."""
    pieces = [Piece(reasoning=text, index=index) for text in draw(st.lists(TEXT, max_size=3))]
    pieces += [Piece(text=text, index=index) for text in draw(st.lists(TEXT, max_size=3))]
    for number, arguments in enumerate(draw(st.lists(ARGUMENTS, max_size=2))):
        cut = draw(st.integers(0, len(arguments)))
        first = ToolCallDelta(number, f"c{index}{number}", "weather", arguments[:cut])
        pieces.append(Piece(index=index, tool_calls=[first]))
        pieces.append(Piece(index=index, tool_calls=[ToolCallDelta(number, arguments=arguments[cut:])]))
    return pieces


@st.composite
def answers(draw: st.DrawFn, most: int) -> list[Piece]:
    """All pieces of an answer, those of its choices in turns, with counts that grow."""
    n = draw(st.integers(1, most))
    waiting = [draw(choices(index)) for index in range(n)]
    pieces: list[Piece] = []
    while any(waiting):
        pieces.append(draw(st.sampled_from([rest for rest in waiting if rest])).pop(0))
    reason = draw(st.sampled_from(["stop", "length"]))
    pieces += [Piece(finish_reason=reason, index=index, more=index < n - 1) for index in range(n)]
    # Some engines know the counts only at the end.
    for count, piece in list(enumerate(pieces))[draw(st.sampled_from([0, -1])) :]:
        piece.usage = Usage(7, count, 2)
    return pieces


def merged(pieces: list[Piece], cuts: list[bool]) -> list[Piece]:
    """The pieces as a slow caller gets them: some have grown together."""
    found: list[Piece] = []
    for number, piece in enumerate(deepcopy(pieces)):
        joins = number < len(cuts) and cuts[number]
        if not (joins and found and found[-1].absorb(piece)):
            found.append(piece)
    return found


CUTS = st.lists(st.booleans(), max_size=24)


def written(writer: Frames, pieces: list[Piece]) -> str:
    return b"".join(writer.write(piece) for piece in pieces).decode()


def collected(task: Task, input: Any, pieces: list[Piece]) -> Any:
    assert task.collect is not None
    return orjson.loads(task.encode(task.collect(pieces, input)).body)


@settings(deadline=None)
@given(answers(3), CUTS, st.sampled_from([ChatFrames, RunChatFrames]))
def test_chunks_join_to_the_chat_completion(
    pieces: list[Piece], cuts: list[bool], writer: Callable[[Any, Origin], ChatFrames]
) -> None:
    task = TASKS.get("text-generation", "chat-completion")
    input = task.parse({"prompt": "x", "tools": TOOLS}).of(ORIGIN)
    whole = collected(task, input, pieces)
    *chunks, _ = frames(written(writer(input, ORIGIN), merged(pieces, cuts)))
    streamed = joined(chunks)
    for choice in whole["choices"]:
        message, told = choice["message"], streamed[choice["index"]]
        assert told["content"].strip() == (message["content"] or "").strip()
        assert told["reasoning"] == message.get("reasoning_content", "")
        assert told["reasons"] == [choice["finish_reason"]]
        calls = [{"id": call["id"], "type": "function", **call["function"]} for call in message.get("tool_calls", [])]
        assert list(told["calls"].values()) == calls
    if writer is RunChatFrames:
        told = [chunk["usage"]["total_tokens"] for chunk in chunks if chunk.get("choices")]
        assert sum(told) == whole["usage"]["total_tokens"] == chunks[-1]["usage"]["total_tokens"]


@settings(deadline=None)
@given(answers(1), CUTS)
def test_events_end_with_the_response(pieces: list[Piece], cuts: list[bool]) -> None:
    task = TASKS.get("text-generation", "responses")
    input = task.parse({"input": "x", "tools": TOOLS}).of(ORIGIN)
    whole = collected(task, input, pieces)
    found = events(written(ResponseFrames(input, ORIGIN), merged(pieces, cuts)))
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    last = found[-1][1]["response"]
    assert last["output"] == whole["output"]
    assert (last["status"], last["usage"]) == (whole["status"], whole["usage"])


@settings(deadline=None)
@given(answers(1), CUTS)
def test_native_frames_join_to_the_native_answer(pieces: list[Piece], cuts: list[bool]) -> None:
    task = TASKS.get("text-generation")
    input = task.parse({"prompt": "x", "tools": TOOLS}).of(ORIGIN)
    whole = collected(task, input, pieces)
    *told, tail, _ = frames(written(NativeFrames(), merged(pieces, cuts)))
    calls = [call for event in told for call in event.get("tool_calls", [])]
    assert calls == [{**call, "index": index} for index, call in enumerate(whole["tool_calls"])]
    assert "".join(event["response"] for event in told).strip() == (whole["response"] or "").strip()
    thoughts = "".join(event.get("reasoning_content", "") for event in told)
    assert thoughts == whole.get("reasoning_content", "")
    assert tail["usage"] == whole["usage"]
