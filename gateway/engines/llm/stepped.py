"""Continues tokens by the logits of a stepper, each stream by its own rules; knows no library that runs models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import TypeGuard

import torch

from gateway.engines.llm.backend import Advance, Tokenizer
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.row_choice import Chosen, as_chosen, choose, likeliest
from gateway.engines.llm.stepping import Stepper, TokenStream
from gateway.engines.llm.token_choice import TokenChoice
from gateway.errors import BadInput, GatewayError


class SteppedModel:
    """A `TokenModel` over a `Stepper`, which computes the logits of all streams.

    `ends` are the tokens that end a turn, `width` is the number of logits.
    """

    def __init__(
        self,
        stepper: Stepper,
        tokenizer: Tokenizer,
        grammars: Grammars,
        *,
        ends: Collection[int],
        width: int,
        device: str = "cpu",
        adapters: Collection[str] = (),
    ) -> None:
        self.tokenizer, self.device, self.adapters = tokenizer, device, adapters
        self.window, self.cache_bytes = stepper.window, stepper.cache_bytes
        self._stepper, self._grammars, self._ends, self._width = stepper, grammars, frozenset(ends), width
        self._streams: dict[int, TokenStream] = {}

    def add(self, id: int, prompt: Prompt, decoding: Decoding) -> None:
        """Queue one stream; raises `BadInput` for a bias or a constraint that this model cannot have."""
        outside = next((token for token in decoding.logit_bias if not 0 <= token < self._width), None)
        if outside is not None:
            raise BadInput(f"'/logit_bias/{outside}' is not a token of this model; they are 0 to {self._width - 1}")
        constraint = decoding.constraint
        matcher = None if constraint is None else self._grammars.start(constraint, decoding.markers)
        choice = TokenChoice(decoding, prompt.tokens, matcher)
        self._streams[id] = TokenStream(prompt, decoding, choice)
        self._stepper.add(id, self._streams[id])

    def bytes_of(self, token: int) -> bytes | None:
        """What a token adds to a text, a special one by its name; None if that is not known."""
        return self._grammars.bytes_of(token)

    @torch.inference_mode()
    def step(self) -> Sequence[tuple[int, Advance | GatewayError]]:
        """One token for every running stream, and a part of the waiting prompts."""
        advances: list[tuple[int, Advance | GatewayError]] = []
        for ids, logits in self._stepper.step():
            if isinstance(logits, GatewayError):
                advances += [(id, logits) for id in ids]
            else:
                advances += self._choose(ids, logits)
        for id, advance in advances:
            if isinstance(advance, GatewayError) or advance.finish_reason is not None:
                self.drop(id)
        return advances

    def drop(self, id: int) -> None:
        """Forget a stream and its cache."""
        if self._streams.pop(id, None) is not None:
            self._stepper.drop(id)

    def _choose(self, ids: Sequence[int], logits: torch.Tensor) -> list[tuple[int, Advance | GatewayError]]:
        streams = [self._streams[id] for id in ids]
        rows = list(itertools.accumulate((1 + len(stream.guessed) for stream in streams), initial=0))
        take = self._taker(streams, logits)
        advances = take(streams, rows[:-1])
        for at, (stream, advance) in enumerate(zip(streams, advances, strict=True)):
            for row, guess in enumerate(stream.guessed, rows[at] + 1):
                if not _goes_on(advance, guess):
                    break
                advance = advances[at] = _joined(advance, *take([stream], [row]))
        return list(zip(ids, advances, strict=True))

    def _taker(
        self, streams: Sequence[TokenStream], logits: torch.Tensor
    ) -> Callable[[Sequence[TokenStream], Sequence[int]], list[Advance | GatewayError]]:
        """What gives streams their next token, each by the row of `logits` that is behind those it has."""
        if all(stream.choice.bare for stream in streams):
            known = likeliest(logits)
            return lambda some, rows: [
                self._taken(stream, as_chosen(known[row])) for stream, row in zip(some, rows, strict=True)
            ]

        def take(some: Sequence[TokenStream], rows: Sequence[int]) -> list[Advance | GatewayError]:
            chosen = choose([stream.choice for stream in some], logits, rows)
            return [self._taken(stream, found) for stream, found in zip(some, chosen, strict=True)]

        return take

    def _taken(self, stream: TokenStream, chosen: Chosen | GatewayError) -> Advance | GatewayError:
        if isinstance(chosen, GatewayError):
            return chosen
        cached = 0 if stream.tokens else stream.cached
        stream.tokens.append(chosen.token)
        # What has reached the end of its constraint has nothing but its end left to write.
        ends = chosen.token in self._ends and (not stream.decoding.ignore_eos or stream.choice.matcher is not None)
        full = len(stream.tokens) >= stream.decoding.sampling.max_tokens
        return Advance([chosen.token], "stop" if ends else "length" if full else None, cached, chosen.reports)


def _goes_on(advance: Advance | GatewayError, guess: int) -> TypeGuard[Advance]:
    """Whether a stream goes on with what was guessed, so that the token behind it can be chosen at once."""
    return isinstance(advance, Advance) and advance.finish_reason is None and advance.tokens[-1] == guess


def _joined(first: Advance, second: Advance | GatewayError) -> Advance | GatewayError:
    if isinstance(second, GatewayError):
        return second
    tokens, reports = first.tokens + second.tokens, first.reports + second.reports
    return Advance(tokens, second.finish_reason, first.cached_tokens, reports)
