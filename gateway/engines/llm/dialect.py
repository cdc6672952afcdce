"""How one model writes its answers, reasoning and calls and all; knows no template and no tokens."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.engines.llm.constraint import Choice, Constraint, Json, Literal, Triggered
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.output import PlainReader, Reader, TapeReader
from gateway.engines.llm.reasoning import ReasoningFormat
from gateway.engines.llm.tape import Reading, Tape
from gateway.engines.llm.tool_formats import harmony
from gateway.engines.llm.tool_formats.base import ANY_OBJECT, MOST_CALLS, ToolFormat
from gateway.tasks.generation import Generation
from gateway.tasks.tools import Tool


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants of its answer's form.

    `tools` are those that may be called, at least one of them if `forced`, and no more than `most` calls are given.
    `schema` is that of the answer's text. `prompt` is what the model was given, to see what it has begun there.
    """

    tools: tuple[Tool, ...] = ()
    forced: bool = False
    most: int | None = None
    schema: dict[str, Any] | None = None
    think: bool | None = None
    prompt: str = ""

    @classmethod
    def of(cls, generation: Generation, prompt: str, *, think: bool | None) -> Ask:
        """What one request wants. A tool that is named is called once."""
        choice = generation.tool_choice
        tools = () if choice.mode == "none" else generation.tools
        if choice.name is not None:
            tools = tuple(tool for tool in tools if tool.name == choice.name)
        most = None if generation.parallel_tool_calls and choice.name is None else 1
        return cls(tools, choice.mode == "required", most, generation.format.schema, think, prompt)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one answer: what constrains it, who reads it, and what is added to the prompt to begin it."""

    constraint: Constraint | None
    reader: Callable[[], Reader]
    begun: str = ""


class Dialect(Protocol):
    """A model's way of writing answers."""

    @property
    def markers(self) -> tuple[str, ...]:
        """The strings that must be read even where they are special tokens."""

    def form(self, ask: Ask, special: Container[str]) -> Form:
        """The form of an answer; `special` are the markers that are special tokens of the model's vocabulary."""


class Marked:
    """Reasoning in a block at the beginning, calls in a family's own markup, and everything else is text."""

    def __init__(self, reasoning: ReasoningFormat | None, tools: ToolFormat) -> None:
        self._reasoning = reasoning
        self._tools = tools

    @property
    def markers(self) -> tuple[str, ...]:
        """Those of the reasoning and of the calls."""
        return (*(self._reasoning.markers if self._reasoning else ()), *self._tools.markers)

    def form(self, ask: Ask, special: Container[str]) -> Form:
        """The form of an answer.

        Where the answer must be a call and its first marker is a special token, the prompt has it: a constraint
        speaks of ordinary text.
        """
        answer = self._answer(ask)
        if self._reasoning is None and not ask.tools:
            return Form(answer, PlainReader)
        begun = ""
        if ask.forced and self._tools.opening in special and not self._may_reason(ask):
            begun, answer = self._tools.opening, self._tools.calls(ask.tools, ask.most or MOST_CALLS)
        elif answer is not None and self._reasoning is not None:
            state = self._reasoning.state_after(ask.prompt)
            # Free text may have reasoning in it anyway, where that is marked by text.
            is_text = not any(marker in special for marker in self._reasoning.markers)
            if not (isinstance(answer, Triggered) and state == "free" and is_text):
                answer = self._reasoning.before(answer, state, ask.think)
        return Form(
            answer, lambda: TapeReader(lambda tape, gains: self._read(tape, gains, ask), ask.most, begun), begun
        )

    def _may_reason(self, ask: Ask) -> bool:
        if self._reasoning is None:
            return False
        state = self._reasoning.state_after(ask.prompt)
        return state == "open" or (state == "free" and ask.think is not False)

    def _answer(self, ask: Ask) -> Constraint | None:
        """What follows the reasoning. Without a constraint the model decides, and the reader takes what it can."""
        answer = None if ask.schema is None else Json(ask.schema)
        if not ask.tools:
            return answer
        opening = Literal(self._tools.opening)
        if ask.forced or answer is not None:
            calls = InOrder((opening, self._tools.calls(ask.tools, ask.most or MOST_CALLS)))
            return calls if ask.forced or answer is None else Choice((answer, calls))
        if not any(tool.strict for tool in ask.tools) or not opening.text:
            return None
        loose = tuple(tool if tool.strict else tool.model_copy(update={"parameters": ANY_OBJECT}) for tool in ask.tools)
        return Triggered(opening.text, (InOrder((opening, self._tools.calls(loose, ask.most or MOST_CALLS))),))

    def _read(self, tape: Tape, gains: Gains, ask: Ask) -> Reading[None]:
        if self._reasoning is not None:
            yield from self._reasoning.read(tape, gains, self._reasoning.state_after(ask.prompt))
        if ask.tools:
            yield from self._tools.read(tape, gains, ask.tools)
        else:
            yield from tape.until((), gains.text)


class Harmony:
    """The channels of gpt-oss. A turn ends with a call, so there is at most one."""

    markers = harmony.MARKERS

    def form(self, ask: Ask, special: Container[str]) -> Form:
        """The form of an answer; the markers that a constraint speaks of are tokens of the model's own."""
        options: list[Constraint] = []
        if ask.schema is not None and not ask.forced:
            options.append(harmony.final(ask.schema))
        if ask.tools and (ask.forced or options):
            options.append(harmony.call(ask.tools))
        answer = None
        if options:
            answer = harmony.after_analysis(options[0] if len(options) == 1 else Choice(tuple(options)))
        return Form(
            answer,
            lambda: TapeReader(lambda tape, gains: harmony.read_messages(tape, gains, ask.tools), ask.most),
        )
