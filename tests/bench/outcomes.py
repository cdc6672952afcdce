"""Requests and answers as a bench notes them, written down instead of measured."""

from __future__ import annotations

from typing import Any

from gateway.bench.caller import Outcome
from gateway.bench.loads import Request
from gateway.bench.reply import Fault, Reply
from gateway.tasks.amounts import Amounts


def outcome(begun_s: float, ended_s: float, fault: str = "", amounts: Amounts | None = None, **reply: Any) -> Outcome:
    """A request from `begun_s` to `ended_s` whose only try took all of that time, unless `reply` says otherwise."""
    fields = {"seconds": ended_s - begun_s, "fault": Fault(fault, "") if fault else None} | reply
    return Outcome(begun_s, ended_s, Reply(**fields), Request(b"", "", amounts or Amounts()))


def tokens(read: int, made: int, cached: int = 0) -> dict[str, Any]:
    """The `usage` of an answer."""
    return {"prompt_tokens": read, "completion_tokens": made, "prompt_tokens_details": {"cached_tokens": cached}}
