"""What a streamed answer is made of: increments, tool calls, token counts; knows no task and no wire format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Self

from pydantic import PlainSerializer
from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on


class PromptDetails(TypedDict):
    """Of the prompt's tokens, those whose work was already done."""

    cached_tokens: int


class CompletionDetails(TypedDict):
    """Of the answer's tokens, those of its reasoning."""

    reasoning_tokens: int


class TokenCounts(TypedDict):
    """The `usage` object of an answer (docs/api.md)."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: NotRequired[CompletionDetails]
    neurons: NotRequired[float]


@dataclass(slots=True)
class Usage:
    """Tokens of one answer, by the model's own tokenizer; reasoning is part of the completion.

    `prefill_s` are the seconds until its first token, `decode_s` those from then on, both within the model's process.
    `audio_s` are the seconds of sound that were made, `steps` those that a picture took; `neurons` is what the answer
    would have cost on Cloudflare, for rows with a price.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    prefill_s: float = field(default=0.0, compare=False)
    decode_s: float = field(default=0.0, compare=False)
    audio_s: float | None = None
    steps: int | None = None
    neurons: float | None = None

    def as_dict(self, *, with_neurons: bool = True) -> TokenCounts:
        """As a caller sees it. Clients add up what the chunks of a stream say: only its last one tells the neurons."""
        counts: TokenCounts = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }
        if self.reasoning_tokens:
            counts["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        if with_neurons and self.neurons is not None:
            counts["neurons"] = self.neurons
        return counts


Counted = Annotated[Usage, PlainSerializer(Usage.as_dict)]


def counted(result: dict[str, Any], usage: Usage | None) -> dict[str, Any]:
    """An answer's `result` with the token counts in it, if its engine told them."""
    return result if usage is None else result | {"usage": usage.as_dict()}


@dataclass(slots=True)
class ToolCallDelta:
    """An increment of the tool call at `index` of its choice.

    The first of a call has its `id` and `name`; the `arguments` of all, joined, are one JSON object, or the beginning
    of one where the answer was cut short or the model wrote something else. What `is_custom` has a custom tool's text
    in their place; no engine gives such a one.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    is_custom: bool = False


@dataclass(slots=True)
class RatedToken:
    """A token and the natural logarithm of its probability; `data` are its bytes where they are not those of `token`.

    Without them, a `token` that is empty or shows that something could not be decoded is a part of a character whose
    bytes nobody knows.
    """

    token: str
    logprob: float
    data: bytes | None = None

    @classmethod
    def of(cls, data: bytes, logprob: float) -> Self:
        """The token of these bytes. Those that are no whole character are written as OpenAI writes them: `\\xe6`."""
        try:
            return cls(data.decode(), logprob)
        except UnicodeDecodeError:
            return cls(data.decode(errors="backslashreplace"), logprob, data)

    def among(self, rivals: list[RatedToken]) -> TokenLogprob:
        """The token as the one that was generated."""
        return TokenLogprob(self.token, self.logprob, self.data, rivals)

    def known_bytes(self) -> bytes | None:
        """Its bytes, if anybody knows them."""
        if self.data is not None:
            return self.data
        return self.token.encode() if self.token and "\ufffd" not in self.token else None


@dataclass(slots=True)
class TokenLogprob(RatedToken):
    """One generated token, and those that were likeliest in its place."""

    top: list[RatedToken] = field(default_factory=list)


@dataclass(slots=True)
class Piece:
    """One increment of a streamed answer.

    A piece with a `finish_reason` is the last of its choice, `index`; unless `more` choices go on, it is also the
    last of the answer and has the whole `usage`; earlier ones have the counts so far, where an engine knows them.
    `stop` is the string that ended a choice, if one did.
    """

    text: str = ""
    data: bytes = b""
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    index: int = 0
    more: bool = False
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    stop: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether the answer ends with this piece."""
        return self.finish_reason is not None and not self.more

    def absorb(self, later: Piece) -> bool:
        """Grow by `later`, if the two say no more together than one piece can; whether it was possible."""
        if self.index != later.index or self.finish_reason is not None or later.more:
            return False
        if self.data or later.data or self.extra or later.extra or self.tool_calls or later.tool_calls:
            return False
        if later.reasoning and self.text:
            return False
        self.text += later.text
        self.reasoning += later.reasoning
        self.logprobs += later.logprobs
        self.finish_reason, self.usage, self.stop = later.finish_reason, later.usage or self.usage, later.stop
        return True
