"""Channels of gpt-oss: `<|channel|>analysis`, `commentary to=functions.NAME` and `final`, each with a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Until
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats.base import arguments_of, either, read_arguments, skip_to
from gateway.tasks.tools import Tool

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
MARKERS = (START, CHANNEL, MESSAGE, CONSTRAIN, END, CALL, RETURN)
FUNCTIONS = "functions."


@dataclass(frozen=True)
class _Header:
    channel: str
    recipient: str


def read_messages(tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
    """Read a whole answer: analysis is reasoning, what has a tool for recipient a call, all other channels text."""
    names = {tool.name for tool in tools}
    spoken = False
    mark = yield from tape.until(MARKERS, gains.text)
    while mark:
        header, mark = yield from _read_header(tape, mark)
        if mark != MESSAGE:
            if mark:
                mark = yield from tape.until(MARKERS, gains.text)
            continue
        name = header.recipient.removeprefix(FUNCTIONS)
        if header.recipient.startswith(FUNCTIONS) or name in names:
            gains.begin_call(name)
            yield from tape.space()
            if (yield from read_arguments(tape, gains.arguments)):
                gains.end_call()
            mark = yield from skip_to(tape, *MARKERS)
        elif header.channel == "analysis" or header.recipient:
            gains.reasoning("\n\n")
            mark = yield from tape.until(MARKERS, gains.reasoning)
        else:
            gains.text("\n\n" if spoken else "")
            spoken = True
            mark = yield from tape.until(MARKERS, gains.text)


def _read_header(tape: Tape, mark: str) -> Reading[tuple[_Header, str]]:
    """What stands before a message, and the mark after it."""
    sections: dict[str, str] = {}
    while mark in (START, CHANNEL, CONSTRAIN):
        text: list[str] = []
        section = mark
        mark = yield from tape.until(MARKERS, text.append)
        sections[section] = "".join(text)
    words = " ".join(sections.values()).split()
    channel = sections.get(CHANNEL, "").split()
    recipient = next((word.removeprefix("to=") for word in words if word.startswith("to=")), "")
    return _Header(channel[0] if channel else "", recipient), mark


def call(tools: Sequence[Tool]) -> Constraint:
    """A message to one of the tools, which ends the turn."""
    head = f"{CHANNEL}commentary to={FUNCTIONS}"
    options = [InOrder((Literal(f"{head}{tool.name} {CONSTRAIN}json{MESSAGE}"), arguments_of(tool))) for tool in tools]
    return either(options)


def final(schema: dict[str, Any]) -> Constraint:
    """A message to the user, of JSON."""
    return InOrder((Literal(f"{CHANNEL}final{MESSAGE}"), Json(schema)))


def after_analysis(answer: Constraint) -> Constraint:
    """The answer at once, or after a message in the channel of analysis."""
    analysis = (Literal(f"{CHANNEL}analysis{MESSAGE}"), Until(END), Literal(f"{START}assistant"))
    return Choice((answer, InOrder((*analysis, answer))))
