"""Continues tokens by the logits of a stepper, each stream by its own rules; knows no library that runs models."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from gateway.engines.llm.backend import Advance, Tokenizer, TokenReport
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.grammar import Grammars
from gateway.engines.llm.row_choice import choose
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
        matcher = self._grammars.start(decoding.constraint) if decoding.constraint is not None else None
        choice = TokenChoice(decoding, prompt.tokens, torch.device(self.device), matcher)
        self._streams[id] = TokenStream(prompt, decoding, choice)
        self._stepper.add(id, self._streams[id])

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
        chosen = choose([stream.choice for stream in streams], logits)
        return [
            (id, found if isinstance(found, GatewayError) else self._advance(stream, found.token, found.reports))
            for id, stream, found in zip(ids, streams, chosen, strict=True)
        ]

    def _advance(self, stream: TokenStream, token: int, reports: list[TokenReport]) -> Advance:
        cached = 0 if stream.tokens else stream.cached
        stream.tokens.append(token)
        # What has reached the end of its constraint has nothing but its end left to write.
        ends = token in self._ends and (not stream.decoding.ignore_eos or stream.choice.matcher is not None)
        full = len(stream.tokens) >= stream.decoding.sampling.max_tokens
        return Advance([token], "stop" if ends else "length" if full else None, cached, reports)
