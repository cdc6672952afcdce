"""What a family's way of writing tool calls is, and the parts that several share; knows no family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.json_text import read_text, read_value
from gateway.engines.llm.tape import Reading, Tape
from gateway.tasks.tools import Tool

# A constrained answer has at most so many calls: a model that must call can otherwise go on to the end of its window.
MOST_CALLS = 16
# Where a caller writes the schemas of arguments.
FIELD = "/tools"
ANY_OBJECT: dict[str, Any] = {"type": "object"}


class ToolFormat(Protocol):
    """How a family of models writes tool calls.

    Calls begin with `opening`, which is empty for families that answer with a call and nothing else. `markers`
    are the strings that may be special tokens of its vocabularies and must be read all the same.
    """

    @property
    def opening(self) -> str:
        """What every call, or the first of several, begins with."""

    @property
    def markers(self) -> tuple[str, ...]:
        """The strings that must be read even where they are special tokens."""

    def read(self, tape: Tape, gains: Gains, tools: Sequence[Tool]) -> Reading[None]:
        """Read a whole answer, of text, calls or both."""

    def calls(self, tools: Sequence[Tool], most: int) -> Constraint:
        """What one to `most` calls look like, after the opening."""


def either(options: Sequence[Constraint]) -> Constraint:
    """One of the options, of which there is at least one."""
    return options[0] if len(options) == 1 else Choice(tuple(options))


def quoted(text: str) -> str:
    """The text as a JSON string."""
    return orjson.dumps(text).decode()


def arguments_of(tool: Tool) -> Json:
    """The arguments of a call as JSON."""
    return Json(tool.parameters, FIELD)


def named_object(tool: Tool) -> Constraint:
    """`{"name": ..., "arguments": ...}`, the usual way to write a call in JSON."""
    head = f'{{"name": {quoted(tool.name)}, "arguments": '
    return InOrder((Literal(head), arguments_of(tool), Literal("}")))


def read_objects(tape: Tape, gains: Gains) -> Reading[bool]:
    """Read a call or a list of calls, each an object in JSON; whether they were that to their end.

    What was read of something that is no call can be had with `recorded`.
    """
    tape.record()
    listed = yield from tape.match("[")
    while True:
        yield from tape.space()
        if not (yield from read_object(tape, gains)):
            return False
        if not listed:
            return True
        tape.record()
        yield from tape.space()
        if not (yield from tape.match(",")):
            return bool((yield from tape.match("]")))


def read_object(tape: Tape, gains: Gains, names: frozenset[str] | None = None) -> Reading[bool]:
    """Read one call as an object with a name and arguments, in any order; whether it was one to its end.

    `names`, if given, are the only ones that make an object a call.
    """
    if not (yield from tape.match("{")):
        return False
    call = _Call(gains, names)
    while True:
        yield from tape.space()
        key = yield from read_text(tape)
        yield from tape.space()
        if key is None or not (yield from tape.match(":")):
            return False
        yield from tape.space()
        if not (yield from call.read(tape, key)):
            return False
        yield from tape.space()
        if not (yield from tape.match(",")):
            return bool((yield from tape.match("}"))) and call.finish()


class _Call:
    """A call whose name may come after its arguments, which then wait for it."""

    def __init__(self, gains: Gains, names: frozenset[str] | None) -> None:
        self._gains = gains
        self._names = names
        self._named = self._argued = False
        self._waiting: list[str] = []

    def read(self, tape: Tape, key: str) -> Reading[bool]:
        """Read the value of one key. Where only some names are calls, the name comes first."""
        if self._names is not None and not self._named and key not in ("name", "type"):
            return False
        if key == "name" and not self._named:
            name = yield from read_text(tape)
            return self._begin(tape, name)
        if key in ("arguments", "parameters") and not self._argued:
            self._argued = True
            return (yield from read_arguments(tape, self._argue))
        return (yield from read_value(tape, _ignore))

    def finish(self) -> bool:
        """The object is over; whether it was a call."""
        if self._named:
            self._gains.end_call()
        return self._named

    def _begin(self, tape: Tape, name: str | None) -> bool:
        if not name or (self._names is not None and name not in self._names):
            return False
        self._named = True
        tape.recorded()
        self._gains.begin_call(name)
        self._gains.arguments("".join(self._waiting))
        return True

    def _argue(self, fragment: str) -> None:
        if self._named:
            self._gains.arguments(fragment)
        else:
            self._waiting.append(fragment)


def read_arguments(tape: Tape, sink: Any) -> Reading[bool]:
    """Read an object into `sink`, or a string that holds one; null stands for an empty one."""
    char = yield from tape.peek()
    if char == "{":
        return (yield from read_value(tape, sink))
    if char == '"':
        text = yield from read_text(tape)
        arguments = as_object(text or "")
        sink(arguments or "")
        return arguments is not None
    empty = yield from tape.match("null")
    sink("{}" if empty else "")
    return bool(empty)


def as_object(text: str) -> str | None:
    """The JSON of an object in its shortest form, if `text` is one."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return orjson.dumps(value).decode() if isinstance(value, dict) else None


def give_back(tape: Tape, gains: Gains, *closings: str) -> Reading[str]:
    """Make text of what was recorded and goes on up to a closing mark, as it is no call that can be read.

    Nothing is lost that the model said, and none of its marks is shown. A call that the length limit cut short is
    dropped. Returns the closing mark, empty at the end.
    """
    body = [tape.recorded()]
    mark = yield from tape.until(closings, body.append)
    if mark or not tape.cut:
        # What was read of a value may have marks in it.
        gains.text(without("".join(body), closings).strip())
    return mark


def skip_to(tape: Tape, *closings: str) -> Reading[str]:
    """Read over what may come before a closing mark."""
    return (yield from tape.until(closings, _ignore))


def without(text: str, marks: Sequence[str]) -> str:
    """The text less all occurrences of the marks."""
    for mark in marks:
        text = text.replace(mark, "")
    return text


def _ignore(text: str) -> None:
    del text
