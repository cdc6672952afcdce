"""Turns the chunks of a streamed answer into pieces; knows no connection and no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.engines.llm.upstream.calls import MAX_ARGUMENTS_CHARACTERS, Calls
from gateway.engines.llm.upstream.events import Unreadable, text_of
from gateway.engines.llm.upstream.forced import call_of
from gateway.engines.llm.upstream.logprobs import logprobs_of
from gateway.tasks import Piece, Usage

_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
_REASONS |= {"content_filter": "content_filter", "model_length": "length"}
BROKEN = ("abort", "error")


class Answer:
    """One request's answer of `n` choices. The end of the last choice waits for `end`: the usage comes after it.

    With `usage_per_choice` each choice reports its own tokens, otherwise the latest report counts for all. A server
    that reports none has its increments counted. Reports on the way are passed on if there is one choice: of several,
    each may be of one alone. With `forced` the text of each choice is one tool call as JSON.
    """

    def __init__(self, n: int, stop: Sequence[str], *, usage_per_choice: bool, forced: bool = False) -> None:
        self._stop = stop
        self._written = [""] * n if forced else None
        self._usage_per_choice = usage_per_choice
        self._usage: Usage | None = None
        self._increments = 0
        self._calls = [Calls() for _ in range(n)]
        self._open = set(range(n))
        self._last: Piece | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every choice has ended."""
        return not self._open

    def feed(self, event: dict[str, Any]) -> list[Piece]:
        """The pieces of one chunk, or of a whole answer in one; raises `Unreadable`."""
        choices = event.get("choices") or []
        if not isinstance(choices, list):
            raise Unreadable("choices that are no list")
        pieces = [piece for choice in choices if (piece := self._piece(choice)) is not None]
        if self._usage_per_choice or not self._open or len(self._calls) == 1:
            self._count(event.get("usage"))
        if len(self._calls) == 1 and self._usage is not None:
            for piece in pieces:
                piece.usage = replace(self._usage)
        return pieces

    def end(self) -> list[Piece]:
        """The pieces that end the answer; choices that the server left open have stopped."""
        pieces = []
        while self._open:
            index = min(self._open)
            if (piece := self._finished(Piece(index=index), "stop", None)) is not None:
                pieces.append(piece)
        assert self._last is not None
        self._last.usage = self._usage or Usage(completion_tokens=self._increments)
        return [*pieces, self._last]

    def _piece(self, choice: Any) -> Piece | None:
        if not isinstance(choice, dict):
            raise Unreadable("a choice that is no object")
        index = choice.get("index") or 0
        if not isinstance(index, int) or not 0 <= index < len(self._calls):
            raise Unreadable("a choice that was not asked for")
        if index not in self._open:
            return None
        delta = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        if not isinstance(delta, dict):
            raise Unreadable("a delta that is no object")
        piece = Piece(
            text=text_of(delta.get("content")) + text_of(delta.get("refusal")),
            index=index,
            reasoning=text_of(delta.get("reasoning_content") or delta.get("reasoning")),
            tool_calls=self._calls[index].take(delta.get("tool_calls") or []),
            logprobs=logprobs_of(choice.get("logprobs")),
        )
        if self._written is not None:
            self._written[index], piece.text = self._written[index] + piece.text, ""
            if len(self._written[index]) > MAX_ARGUMENTS_CHARACTERS:
                raise Unreadable("a tool call of unbounded length")
        gained = bool(piece.text or piece.reasoning or piece.tool_calls or piece.logprobs)
        self._increments += gained
        if (reason := choice.get("finish_reason")) is not None:
            return self._finished(piece, str(reason), choice.get("stop_reason") or choice.get("matched_stop"))
        return piece if gained else None

    def _finished(self, piece: Piece, reason: str, stop: Any) -> Piece | None:
        """The piece as the last of its choice; None if it is the last of all, which `end` gives."""
        if reason in BROKEN:
            raise Unreadable(f"a choice that ended with {reason}")
        calls = self._calls[piece.index]
        if reason != "length":
            piece.tool_calls += calls.end()
        if self._written is not None and (call := call_of(self._written[piece.index])) is not None:
            piece.tool_calls.append(call)
        piece.finish_reason = _REASONS.get(reason, "stop")
        if (calls.any or piece.tool_calls) and piece.finish_reason == "stop":
            piece.finish_reason = "tool_calls"
        piece.stop = stop if stop in self._stop else None
        self._open.discard(piece.index)
        piece.more = bool(self._open)
        if piece.more:
            return piece
        self._last = piece
        return None

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        counted = Usage(
            prompt_tokens=_number(usage.get("prompt_tokens")),
            completion_tokens=_number(usage.get("completion_tokens")),
            cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
            reasoning_tokens=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
        )
        if self._usage_per_choice and self._usage is not None:
            counted.completion_tokens += self._usage.completion_tokens
            counted.reasoning_tokens += self._usage.reasoning_tokens
            counted.cached_tokens = max(counted.cached_tokens, self._usage.cached_tokens)
        self._usage = counted


def _detail(usage: dict[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return _number(details.get(name)) if isinstance(details, dict) else 0


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
