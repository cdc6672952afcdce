"""Drives an engine the way a worker does and keeps what it gave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import ModelSpec
from gateway.engines.llm import Engine
from gateway.engines.llm.backend import TokenReport
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.errors import GatewayError
from gateway.tasks import TASKS, Usage

TASK = TASKS.get("text-generation")


def load(files: Path, **fields: Any) -> Engine:
    row = {"name": "@local/chat", "task": TASK.name, "engine": "llm", "device": "cpu"}
    spec = ModelSpec.model_validate(row | fields)
    return Engine(spec, TASK, files)


@dataclass
class Told:
    """One stream's answer so far."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    error: GatewayError | None = None

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None or self.error is not None


class Conversation:
    """The streams inside one engine, by number."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.told: dict[int, Told] = {}

    def admit(self, **body: Any) -> int:
        number = len(self.told)
        self.engine.admit(number, TASK.parse(body))
        self.told[number] = Told()
        return number

    def step(self) -> None:
        for number, piece in self.engine.step():
            told = self.told[number]
            assert not told.finished, "a stream that has ended goes on"
            if isinstance(piece, GatewayError):
                told.error = piece
            else:
                told.text += piece.text
                told.finish_reason, told.usage = piece.finish_reason, piece.usage

    def finish(self, *numbers: int) -> list[Told]:
        """Step until these streams have ended."""
        while not all(self.told[number].finished for number in numbers):
            self.step()
        return [self.told[number] for number in numbers]


def ask(engine: Engine, **body: Any) -> Told:
    """One stream alone, to its end."""
    conversation = Conversation(engine)
    return conversation.finish(conversation.admit(**body))[0]


def ask_together(engine: Engine, bodies: Iterable[dict[str, Any]]) -> list[Told]:
    """Streams side by side to their ends, each begun two steps after the one before."""
    together, numbers = Conversation(engine), []
    for body in bodies:
        numbers.append(together.admit(**body))
        together.step()
        together.step()
    return together.finish(*numbers)


def streamed(engine: Engine, tokens: list[int], decoding: Decoding) -> tuple[int, list[int], list[TokenReport]]:
    """One stream of tokens, alone: the passes before its first token, its tokens and what is reported of them."""
    model = engine._backend._model  # type: ignore[attr-defined]
    model.add(0, Prompt(tokens), decoding)
    passes, found, reports = 0, [], []
    while True:
        advances = model.step()
        passes += not found
        for _, advance in advances:
            found += advance.tokens
            reports += advance.reports
            if advance.finish_reason is not None:
                return passes, found, reports
