"""The two seams of text generation: what serves text, and what continues tokens; knows no library."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.errors import GatewayError
from gateway.tasks import Piece, Usage
from gateway.tasks.generation import GenerationInput


class Backend(Protocol):
    """Serves requests as text, wherever their tokens come from; the calls are those of `StreamEngine`."""

    device: str
    cache_bytes: int
    description: str

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call `on_lost`, from any thread, once nothing more can be answered."""

    def close(self) -> None:
        """End what would outlive this process."""

    def admit(self, id: int, input: GenerationInput) -> None:
        """Take in one request; raises `GatewayError` if it cannot be answered."""

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """Advance every stream; what they gained."""

    def drop(self, id: int) -> Usage | None:
        """Forget a stream; what it has cost, if that is known. Unknown ids are ignored."""


class Tokenizer(Protocol):
    """Text to token ids and back, as the weights define it, with the chat template that came with them.

    `tool_template` is a second template for conversations with tools, and `response_template` transformers' form of
    saying how the model writes its answers, where there are such.
    """

    template: str | None
    tool_template: str | None
    response_template: Mapping[str, Any] | None
    bos_token: str
    eos_token: str

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of `text`, with the model's own opening tokens if asked for."""

    def decode(self, rows: Sequence[Sequence[int]], *, special: bool = False) -> list[str]:
        """The text of each row of ids; special tokens are left out unless asked for."""


@dataclass(slots=True)
class TokenReport:
    """The logarithm of the probability of one generated token, and its likeliest rivals, as (id, logarithm)."""

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Advance:
    """What one stream gained in one step.

    `finish_reason` is `stop` when the model ended its turn (the last token is then its stop token, which counts
    but has no text), `length` when the token budget is spent, None while the stream goes on. `cached_tokens` says,
    once, how many of the prompt's tokens were not computed again. `reports` are those of `tokens`, if wanted.
    """

    tokens: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    cached_tokens: int = 0
    reports: list[TokenReport] = field(default_factory=list)


class TokenModel(Protocol):
    """Weights that continue sequences of tokens, many at once.

    `window` is in tokens; `adapters` are the names of the LoRA adapters that a stream may ask for. A stream
    leaves with an `Advance` that has a finish reason, with an error, or by `drop`.
    """

    device: str
    cache_bytes: int
    window: int
    tokenizer: Tokenizer
    adapters: Collection[str]

    def bytes_of(self, token: int) -> bytes | None:
        """What a token adds to a text, a special one by its name; None if that is not known."""

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream: no work is done before `step`. The prompt and its budget fit the window.

        Raises `GatewayError` for what this model cannot do.
        """

    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """Advance every stream by at least one token, or by a part of its prompt."""

    def drop(self, id: int) -> None:
        """Forget a stream and free its memory by the next step; unknown ids are ignored."""
