"""The answer of the Responses API as it grows: items and the events that tell of them; knows no framing."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any

from gateway.tasks.base import Origin
from gateway.tasks.chat_answer import logprobs_object
from gateway.tasks.custom_text import CustomCalls
from gateway.tasks.pieces import Piece, ToolCallDelta, Usage
from gateway.tasks.response_objects import response_usage

Event = dict[str, Any]
# The reasons to finish of an answer that is not whole.
CUT = ("length", "content_filter")
# For each kind of call, where its item has what it is called with, the events that tell of that, and how ids begin.
_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments", "fc"),
    "custom_tool_call": ("input", "response.custom_tool_call_input", "ctc"),
}


class Assembly:
    """Makes the items of one response out of pieces. An item is open until one of another kind begins.

    `feed` gives the events that a streaming caller is sent, without their sequence numbers. Calls of the tools named in
    `customs` have text in place of arguments.
    """

    def __init__(self, origin: Origin, echo: dict[str, Any], customs: Collection[str] = ()) -> None:
        self._suffix = origin.request_id.replace("-", "")
        self._head: Event = {
            "id": f"resp_{self._suffix}",
            "object": "response",
            "created_at": int(time.time()),
            "background": False,
            "error": None,
            "model": origin.model,
            **echo,
        }
        self._output: list[Event] = []
        self._customs = CustomCalls(customs)
        self._calls: dict[int, int] = {}
        self._open: str | None = None
        self._reason: str | None = None
        self._usage: Usage | None = None

    def response(self) -> dict[str, Any]:
        """The response as it is now."""
        cut = self._reason in CUT
        details = "max_output_tokens" if self._reason == "length" else "content_filter"
        return {
            **self._head,
            "status": "incomplete" if cut else "completed" if self._reason else "in_progress",
            "incomplete_details": {"reason": details} if cut else None,
            "output": list(self._output),
            "usage": None if self._usage is None else response_usage(self._usage),
        }

    def begin(self) -> Iterator[Event]:
        """The events before anything is known of the answer."""
        yield {"type": "response.created", "response": self.response()}
        yield {"type": "response.in_progress", "response": self.response()}

    def feed(self, piece: Piece) -> list[Event]:
        """Add a piece; the events it makes."""
        events: list[Event] = []
        if piece.reasoning:
            events += self._text("reasoning", piece.reasoning, piece)
        if piece.text or (piece.logprobs and self._open == "message"):
            events += self._text("message", piece.text, piece)
        for delta in self._customs.read(piece).tool_calls:
            events += self._call(delta)
        if piece.is_last:
            self._reason, self._usage = piece.finish_reason, piece.usage or Usage()
            events += self._close()
            if self._reason not in CUT and all(item["type"] == "reasoning" for item in self._output):
                # A model that says nothing has said an empty text: clients look for a message.
                events += [*self._begin_text("message"), *self._close()]
            status = "incomplete" if self.response()["status"] == "incomplete" else "completed"
            events.append({"type": f"response.{status}", "response": self.response()})
        return events

    def _text(self, kind: str, text: str, piece: Piece) -> Iterator[Event]:
        if self._open != kind:
            yield from self._close()
            yield from self._begin_text(kind)
        part = self._output[-1]["content"][0]
        part["text"] += text
        event = {"type": f"response.{part['type']}.delta", **self._place(content=True), "delta": text}
        if kind == "message":
            event["logprobs"] = logprobs_object(piece.logprobs)["content"]
            if event["logprobs"]:
                part["logprobs"] = part["logprobs"] + event["logprobs"]
        yield event

    def _begin_text(self, kind: str) -> Iterator[Event]:
        part: Event = {"type": "reasoning_text", "text": ""}
        item: Event = {"summary": []}
        if kind == "message":
            part, item = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}, {"role": "assistant"}
        yield from self._add({"type": kind, **item, "content": []}, "msg" if kind == "message" else "rs")
        self._output[-1]["content"].append(part)
        yield {"type": "response.content_part.added", **self._place(content=True), "part": dict(part)}
        self._open = kind

    def _call(self, delta: ToolCallDelta) -> Iterator[Event]:
        kind = "custom_tool_call" if delta.is_custom else "function_call"
        field, event, prefix = _CALLS[kind]
        if delta.index not in self._calls:
            yield from self._close()
            call = {"type": kind, "call_id": delta.id or "", "name": delta.name or "", field: ""}
            yield from self._add(call, prefix)
            self._calls[delta.index] = len(self._output) - 1
            self._open = kind
        item = self._output[self._calls[delta.index]]
        item[field] += delta.arguments
        if delta.arguments:
            yield {"type": f"{event}.delta", **self._place(self._calls[delta.index]), "delta": delta.arguments}

    def _add(self, item: Event, prefix: str) -> Iterator[Event]:
        number = len(self._output)
        item = {"id": f"{prefix}_{self._suffix}{number:02d}", "status": "in_progress", **item}
        self._output.append(item)
        yield {"type": "response.output_item.added", "output_index": number, "item": _copy(item)}

    def _place(self, number: int | None = None, *, content: bool = False) -> Event:
        number = len(self._output) - 1 if number is None else number
        place = {"item_id": self._output[number]["id"], "output_index": number}
        return place | ({"content_index": 0} if content else {})

    def _close(self) -> Iterator[Event]:
        """End the open item, if there is one."""
        if self._open is None:
            return
        item, place = self._output[-1], self._place()
        item["status"] = "incomplete" if self._reason in CUT else "completed"
        if self._open in _CALLS:
            field, event, _ = _CALLS[self._open]
            named = {"name": item["name"]} if self._open == "function_call" else {}
            yield {"type": f"{event}.done", **place, **named, field: item[field]}
        else:
            part, place = item["content"][0], self._place(content=True)
            done = {"text": part["text"]} | ({"logprobs": part["logprobs"]} if "logprobs" in part else {})
            yield {"type": f"response.{part['type']}.done", **place, **done}
            yield {"type": "response.content_part.done", **place, "part": dict(part)}
        yield {"type": "response.output_item.done", "output_index": len(self._output) - 1, "item": _copy(item)}
        self._open = None


def _copy(item: Event) -> Event:
    """The item as it is now, whatever becomes of it."""
    return {key: [dict(part) for part in value] if key == "content" else value for key, value in item.items()}
