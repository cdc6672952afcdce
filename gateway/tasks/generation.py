"""What callers of every family ask of a language model, and what it gave: the one form that engines know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.tasks.base import Extent, TaskInput
from gateway.tasks.conversation import Message
from gateway.tasks.cost import CHARACTERS_PER_TOKEN, Cost
from gateway.tasks.output_format import FREE, OutputFormat
from gateway.tasks.pieces import Piece, TokenLogprob, Usage
from gateway.tasks.places import Search
from gateway.tasks.tools import Tool, ToolChoice

# What a picture or an answer without a bound is taken for before anything is known of it.
ASSUMED_PICTURE_TOKENS, ASSUMED_OUTPUT_TOKENS, UNBOUNDED_OUTPUT_TOKENS = 1024, 256, 8192
NO_TOOLS = ToolChoice("none")


@dataclass(frozen=True, slots=True)
class Generation:
    """One request for text. `messages` or, if there are none, `prompt`; the defaults change nothing.

    `images` are files of a request's own `image` field, which belong to the user's last turn.

    `max_tokens` is what the caller named: kept or refused. Without it `default_tokens` is shortened to what the
    context window leaves, and without that the answer may fill the window. `temperature` 0 is greedy, `top_k` 0
    keeps every token. Repetition counts prompt and output (Keskar et al. 2019), frequency and presence the output
    alone, as OpenAI defines them. `logit_bias` maps token ids to what is added to their logits. `logprobs` is how
    many rivals of each token to report, None for no report at all. `think` is whether a model that can must reason
    first, None for its own default. `template_options` are further values for its chat template.
    """

    messages: tuple[Message, ...] = ()
    prompt: str = ""
    images: tuple[bytes, ...] = ()
    raw: bool = False
    max_tokens: int | None = None
    default_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    logprobs: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    n: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = NO_TOOLS
    parallel_tool_calls: bool = True
    format: OutputFormat = FREE
    think: bool | None = None
    reasoning_effort: str | None = None
    template_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    lora: str | None = None

    @property
    def output_tokens(self) -> int | None:
        """How many tokens the answer may have, before the context window is known; None for no bound."""
        return self.max_tokens if self.max_tokens is not None else self.default_tokens

    def extent(self) -> Extent:
        """One row for each choice: the prompt, at about four characters a token, and the output."""
        characters = len(self.prompt) + sum(len(message.text()) for message in self.messages)
        pictures = len(self.images) + sum(len(message.pictures()) for message in self.messages)
        length = 2 + characters // CHARACTERS_PER_TOKEN + pictures * ASSUMED_PICTURE_TOKENS
        return Extent(self.n, length + (self.output_tokens or ASSUMED_OUTPUT_TOKENS))


class GenerationInput(TaskInput):
    """A task's input that a language model can answer."""

    @abstractmethod
    def generation(self) -> Generation:
        """What it asks for."""

    def search(self) -> Search | None:
        """What it looks for on a picture, if it asks for places in place of words."""
        return None

    def extent(self) -> Extent:
        """A row of prompt, pictures and output for each choice."""
        return self.generation().extent()

    def cost(self) -> Cost:
        """The same, but an answer without a bound counts as a long one: it may fill the context window."""
        asked = self.generation()
        extent = asked.extent()
        unbounded = 0 if asked.output_tokens else UNBOUNDED_OUTPUT_TOKENS - ASSUMED_OUTPUT_TOKENS
        return {"tokens": extent.rows * (extent.length + unbounded)}


@dataclass(slots=True)
class FinishedCall:
    """A tool call of an answer; `arguments` is the JSON of one object, or its beginning if it was cut short.

    Of what `is_custom` it is text.
    """

    id: str
    name: str
    arguments: str = ""
    is_custom: bool = False


@dataclass(slots=True)
class Choice:
    """One whole answer; `reasoning` is what the model thought before it, and no part of `text`."""

    index: int
    text: str = ""
    reasoning: str = ""
    tool_calls: list[FinishedCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str = "stop"
    stop: str | None = None

    def add(self, piece: Piece) -> None:
        """Grow by a piece of this choice."""
        self.text += piece.text
        self.reasoning += piece.reasoning
        self.logprobs += piece.logprobs
        for delta in piece.tool_calls:
            if delta.index == len(self.tool_calls):
                self.tool_calls.append(FinishedCall(delta.id or "", delta.name or "", is_custom=delta.is_custom))
            self.tool_calls[delta.index].arguments += delta.arguments
        if piece.finish_reason is not None:
            self.finish_reason, self.stop = piece.finish_reason, piece.stop


@dataclass(slots=True)
class Generated:
    """All choices of an answer, in the order of their indices, and its token counts."""

    choices: list[Choice]
    usage: Usage


def gather(pieces: Iterable[Piece]) -> Generated:
    """The pieces of one stream as one answer."""
    choices: dict[int, Choice] = {}
    usage = Usage()
    for piece in pieces:
        choices.setdefault(piece.index, Choice(piece.index)).add(piece)
        usage = piece.usage or usage
    return Generated([choices[index] for index in sorted(choices)], usage)


def first(pieces: Sequence[Piece]) -> tuple[Choice, Usage]:
    """The only choice of an answer of a family that has no others, and its token counts."""
    generated = gather(pieces)
    return generated.choices[0] if generated.choices else Choice(0), generated.usage
