"""How families of models set their reasoning apart from the answer; knows no tool calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.engines.llm.constraint import Choice, Constraint, Until
from gateway.engines.llm.constraint import Literal as Text
from gateway.engines.llm.constraint import Sequence as InOrder
from gateway.engines.llm.gains import Gains
from gateway.engines.llm.tape import Reading, Tape

State = Literal["open", "closed", "free"]
# Variables by which templates turn thinking on and off.
SWITCHES = ("enable_thinking", "thinking")


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """Reasoning stands before the answer, between `opening` and `closing`; `gap` is what models write after it.

    `special` are the tokens that the two are made of, if they are not one each.
    """

    opening: str
    closing: str
    gap: str = ""
    special: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """The strings that may be special tokens of its vocabularies and must be read all the same."""
        return self.special or (self.opening, self.closing)

    def state_after(self, prompt: str) -> State:
        """Whether the end of a prompt has opened a block, has closed it, or leaves that to the model."""
        end = prompt.rstrip()
        if end.endswith(self.opening.rstrip()):
            return "open"
        return "closed" if end.endswith(self.closing.rstrip()) else "free"

    def read(self, tape: Tape, gains: Gains, state: State) -> Reading[None]:
        """Read the reasoning, if the answer begins with some."""
        tape.record()
        if state != "open":
            yield from tape.space()
            if not (yield from tape.match(self.opening)):
                gains.text(tape.recorded())
                return
        tape.recorded()
        yield from tape.until((self.closing,), gains.reasoning)
        gains.end_reasoning()

    def before(self, answer: Constraint, state: State, think: bool | None) -> Constraint:
        """The constraint of an answer that may have reasoning before it, which is free."""
        if state == "closed" or (state == "free" and think is False):
            return answer
        rest = (Until(self.closing), *((Text(self.gap),) if self.gap else ()), answer)
        if state == "open":
            return InOrder(rest)
        return Choice((answer, InOrder((Text(self.opening), *rest))))


REASONING_FORMATS: dict[str, ReasoningFormat] = {
    "think": ReasoningFormat("<think>", "</think>", "\n\n"),
    "mistral": ReasoningFormat("[THINK]", "[/THINK]"),
    "gemma": ReasoningFormat("<|channel>thought\n", "<channel|>", special=("<|channel>", "<channel|>")),
}
_SIGNS = (("gemma", "<|channel>"), ("mistral", "[THINK]"), ("think", "</think>"))


def find_reasoning(template: str) -> str | None:
    """The name of the format that a template's source is written for."""
    return next((name for name, sign in _SIGNS if sign in template), None)
