"""Serves text from weights in this process: prompts to tokens, tokens to pieces; knows no library that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.engines.llm.backend import Advance, TokenModel
from gateway.engines.llm.context import output_budget
from gateway.engines.llm.detokenize import Detokenizer
from gateway.engines.llm.sampling import sampling_of
from gateway.engines.llm.template import ChatTemplate
from gateway.errors import BadInput, GatewayError, LoraUnsupported
from gateway.tasks import Piece, Usage
from gateway.tasks.text_generation import Message, TextGenerationInput


@dataclass(slots=True)
class _Stream:
    detokenizer: Detokenizer
    usage: Usage


class LocalBackend:
    """A `Backend` over a `TokenModel`."""

    def __init__(self, model: TokenModel) -> None:
        self.device = model.device
        self.cache_bytes = model.cache_bytes
        self._model = model
        self._tokenizer = tokenizer = model.tokenizer
        self._template: ChatTemplate | None = None
        if tokenizer.template:
            self._template = ChatTemplate(
                tokenizer.template, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token
            )
        self._streams: dict[int, _Stream] = {}

    def admit(self, id: int, input: TextGenerationInput) -> None:
        """Take in one request; raises `BadInput`, `ContextExceeded` or `LoraUnsupported` before any work."""
        if input.lora is not None:
            raise LoraUnsupported("this model has no fine-tunes, so '/lora' cannot be used")
        prompt = self._prompt(input)
        if not prompt:
            raise BadInput("'/prompt' has no tokens")
        budget = output_budget(len(prompt), input, self._model.window)
        self._model.add(id, prompt, sampling_of(input, budget))
        self._streams[id] = _Stream(Detokenizer(self._tokenizer.decode), Usage(prompt_tokens=len(prompt)))

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """The new text of every stream that has some; all are decoded in one call, which costs as much as one."""
        pieces: list[tuple[int, Piece | GatewayError]] = []
        advances: list[tuple[int, Advance]] = []
        for id, advance in self._model.step():
            if isinstance(advance, GatewayError):
                del self._streams[id]
                pieces.append((id, advance))
            else:
                advances.append((id, advance))
        windows = [self._push(id, advance) for id, advance in advances]
        texts = self._tokenizer.decode(windows) if windows else []
        for (id, advance), text in zip(advances, texts, strict=True):
            piece = self._piece(id, advance, text)
            if piece is not None:
                pieces.append((id, piece))
        return pieces

    def drop(self, id: int) -> None:
        """Forget a stream."""
        if self._streams.pop(id, None) is not None:
            self._model.drop(id)

    def _prompt(self, input: TextGenerationInput) -> list[int]:
        messages = input.messages or [Message(role="user", content=input.prompt or "")]
        if not input.raw and self._template is not None:
            return self._tokenizer.encode(self._template.render(messages), add_special_tokens=False)
        if not input.raw and input.messages is not None:
            raise BadInput("this model has no chat template for '/messages': send '/prompt', or '/raw' true")
        text = "\n".join(message.text() for message in messages)
        bos = self._tokenizer.bos_token
        opened = bool(bos) and text.startswith(bos)
        return self._tokenizer.encode(text, add_special_tokens=not opened)

    def _push(self, id: int, advance: Advance) -> list[int]:
        stream = self._streams[id]
        stream.usage.completion_tokens += len(advance.tokens)
        stopped = advance.finish_reason == "stop"
        return stream.detokenizer.push(advance.tokens[:-1] if stopped else advance.tokens)

    def _piece(self, id: int, advance: Advance, decoded: str) -> Piece | None:
        stream = self._streams[id]
        text = stream.detokenizer.text(decoded)
        if advance.finish_reason is not None:
            del self._streams[id]
            return Piece(text=text, finish_reason=advance.finish_reason, usage=stream.usage)
        return Piece(text=text) if text else None
