"""Serves text from weights in this process: prompts to tokens, tokens to pieces; knows no library that runs them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.engines.llm.backend import Advance, TokenModel
from gateway.engines.llm.choice_stream import ChoiceStream
from gateway.engines.llm.context import output_budget
from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.effort import settled
from gateway.engines.llm.options import Options
from gateway.engines.llm.prompting import Prompter
from gateway.engines.llm.reports import Reporter
from gateway.engines.llm.sampling import sampling_of
from gateway.errors import GatewayError, LoraUnsupported
from gateway.properties import ReasoningEffort
from gateway.tasks import Piece, Usage
from gateway.tasks.finetunes import finetune_id
from gateway.tasks.generation import GenerationInput


@dataclass(slots=True)
class _Request:
    """One request: its running streams, one for each choice, and what they have cost."""

    usage: Usage
    streams: set[int] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    def spend(self, tokens: int) -> None:
        """Count new tokens, and the time they took."""
        now = time.monotonic() - self.began
        if not self.usage.completion_tokens:
            self.usage.prefill_s = now
        self.usage.decode_s = now - self.usage.prefill_s
        self.usage.completion_tokens += tokens


class LocalBackend:
    """A `Backend` over a `TokenModel`. Each choice of a request is a stream of its own in the model.

    `name` is that of the library, as operators know it, and `effort` what the row says of the model's reasoning.
    """

    def __init__(
        self,
        model: TokenModel,
        options: Options | None = None,
        name: str = "local",
        effort: ReasoningEffort | None = None,
    ) -> None:
        self.device = model.device
        self.cache_bytes = model.cache_bytes
        self.description = f"{name} on {model.device}"
        self._model = model
        self._effort = effort
        self._reporter = Reporter(model.tokenizer, model.bytes_of)
        self._prompter = Prompter(model.tokenizer, options, model.window)
        self._requests: dict[int, _Request] = {}
        self._choices: dict[int, ChoiceStream] = {}
        self._numbers = itertools.count()

    def watch(self, on_lost: Callable[[], None]) -> None:
        """The weights are in this process and end with it."""

    def close(self) -> None:
        """Nothing outlives the process."""

    def admit(self, id: int, input: GenerationInput) -> None:
        """Take in one request; raises `BadInput`, `ContextExceeded` or `LoraUnsupported` before any work."""
        generation = settled(input.generation(), self._effort)
        adapter = self._adapter(generation.lora)
        plan = self._prompter.plan(generation)
        budget = output_budget(len(plan.prompt.tokens), generation, self._model.window)
        decoding = Decoding(
            sampling=sampling_of(generation, budget),
            constraint=plan.constraint,
            markers=plan.markers,
            adapter=adapter,
            salt=input.origin.account,
            logprobs=generation.logprobs,
            logit_bias=generation.logit_bias,
            ignore_eos=generation.ignore_eos,
        )
        self._requests[id] = _Request(Usage(prompt_tokens=len(plan.prompt.tokens)))
        try:
            for index in range(generation.n):
                choice = ChoiceStream(id, index, self._model.tokenizer, self._reporter, plan, generation.stop)
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
        advances = [(stream, advance) for stream, advance in advances if stream in self._choices]
        windows = [self._choices[stream].push(advance) for stream, advance in advances]
        texts = self._model.tokenizer.decode(windows) if windows else []
        for (stream, advance), text in zip(advances, texts, strict=True):
            pieces += self._gain(stream, advance, text)
        return pieces

    def drop(self, id: int) -> Usage | None:
        """Forget a request and all its streams; what it has cost."""
        request = self._requests.pop(id, None)
        if request is None:
            return None
        for stream in request.streams:
            del self._choices[stream]
            self._model.drop(stream)
        return request.usage

    def _adapter(self, asked: str | None) -> str | None:
        """The adapter of that name or id; raises `LoraUnsupported` if there is none."""
        if asked is None:
            return None
        for name in self._model.adapters:
            if asked in (name, finetune_id(name)):
                return name
        raise LoraUnsupported("'/lora' is neither the name nor the id of a fine-tune of this model")

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
        request.spend(len(advance.tokens))
        request.usage.cached_tokens = max(request.usage.cached_tokens, advance.cached_tokens)
        piece = choice.gain(advance, text)
        if piece is None:
            return
        if piece.reasoning and not piece.text:
            request.usage.reasoning_tokens += len(advance.tokens)
        if piece.finish_reason is not None:
            self._leave(stream, choice, advance)
            piece.more = bool(request.streams)
        # A copy: other choices go on counting, and pieces are only sent after the step.
        piece.usage = replace(request.usage)
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
