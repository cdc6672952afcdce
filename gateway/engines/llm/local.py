"""Serves text from weights in this process: prompts to tokens, tokens to pieces; knows no library that runs them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.engines.llm.backend import Advance, TokenModel
from gateway.engines.llm.choice_stream import ChoiceStream
from gateway.engines.llm.context import output_budget
from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.prompting import Prompter
from gateway.engines.llm.sampling import sampling_of
from gateway.errors import GatewayError, LoraUnsupported
from gateway.tasks import Piece, Usage
from gateway.tasks.generation import GenerationInput


@dataclass(slots=True)
class _Request:
    """One request: its running streams, one for each choice, and what they have cost."""

    usage: Usage
    streams: set[int] = field(default_factory=set)


class LocalBackend:
    """A `Backend` over a `TokenModel`. Each choice of a request is a stream of its own in the model."""

    def __init__(self, model: TokenModel) -> None:
        self.device = model.device
        self._model = model
        self._prompter = Prompter(model.tokenizer)
        self._requests: dict[int, _Request] = {}
        self._choices: dict[int, ChoiceStream] = {}
        self._numbers = itertools.count()

    def admit(self, id: int, input: GenerationInput) -> None:
        """Take in one request; raises `BadInput`, `ContextExceeded` or `LoraUnsupported` before any work."""
        generation = input.generation()
        if generation.lora is not None and generation.lora not in self._model.adapters:
            raise LoraUnsupported("'/lora' is not the name of a fine-tune of this model")
        plan = self._prompter.plan(generation)
        budget = output_budget(len(plan.prompt.tokens), generation, self._model.window)
        decoding = Decoding(
            sampling=sampling_of(generation, budget),
            constraint=plan.constraint,
            adapter=generation.lora,
            salt=input.origin.account,
            logprobs=generation.logprobs,
            logit_bias=generation.logit_bias,
            ignore_eos=generation.ignore_eos,
        )
        self._requests[id] = _Request(Usage(prompt_tokens=len(plan.prompt.tokens)))
        try:
            for index in range(generation.n):
                choice = ChoiceStream(id, index, self._model.tokenizer, plan.reader(), generation.stop)
                seeded = replace(decoding.sampling, seed=decoding.sampling.seed + index)
                stream = next(self._numbers)
                self._model.add(stream, plan.prompt, replace(decoding, sampling=seeded))
                self._choices[stream] = choice
                self._requests[id].streams.add(stream)
        except BaseException:
            self.drop(id)
            raise

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """The new text of every stream that has some; all are decoded in one call, which costs as much as one."""
        pieces: list[tuple[int, Piece | GatewayError]] = []
        advances: list[tuple[int, Advance]] = []
        for stream, advance in self._model.step():
            if isinstance(advance, GatewayError):
                pieces += self._fail(stream, advance)
            elif stream in self._choices:
                advances.append((stream, advance))
        windows = [self._choices[stream].push(advance) for stream, advance in advances if stream in self._choices]
        texts = self._model.tokenizer.decode(windows) if windows else []
        for (stream, advance), text in zip(advances, texts, strict=True):
            pieces += self._gain(stream, advance, text)
        return pieces

    def drop(self, id: int) -> None:
        """Forget a request and all its streams."""
        request = self._requests.pop(id, None)
        for stream in request.streams if request is not None else ():
            del self._choices[stream]
            self._model.drop(stream)

    def _fail(self, stream: int, error: GatewayError) -> Iterable[tuple[int, GatewayError]]:
        """A choice that fails fails its request."""
        choice = self._choices.pop(stream, None)
        if choice is None:
            return
        self._requests[choice.request].streams.discard(stream)
        self.drop(choice.request)
        yield choice.request, error

    def _gain(self, stream: int, advance: Advance, text: str) -> Iterable[tuple[int, Piece]]:
        choice = self._choices.get(stream)
        if choice is None:
            return
        request = self._requests[choice.request]
        request.usage.completion_tokens += len(advance.tokens)
        request.usage.cached_tokens = max(request.usage.cached_tokens, advance.cached_tokens)
        piece = choice.gain(advance, text)
        if piece is None:
            return
        if piece.finish_reason is not None:
            self._leave(stream, choice, advance)
            piece.more = bool(request.streams)
            piece.usage = None if piece.more else request.usage
        yield choice.request, piece

    def _leave(self, stream: int, choice: ChoiceStream, advance: Advance) -> None:
        """A choice is over; the model may not know it yet, if a stop string ended it."""
        del self._choices[stream]
        if advance.finish_reason is None:
            self._model.drop(stream)
        request = self._requests[choice.request]
        request.streams.discard(stream)
        if not request.streams:
            del self._requests[choice.request]
