"""Has a streaming synthesiser say whole texts, as callers that do not stream hear them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.engines.speaking import SpeakingEngine
from gateway.errors import GatewayError
from gateway.tasks import Piece, Task
from gateway.tasks.text_to_speech import SpeechOutput


def pieces(engine: SpeakingEngine, inputs: Sequence[Any]) -> list[list[Piece] | GatewayError]:
    """What the engine gives for each input, all of them being inside together."""
    found: dict[int, list[Piece] | GatewayError] = {}
    for id, input in enumerate(inputs):
        try:
            engine.admit(id, input)
        except GatewayError as error:
            found[id] = error
    waiting = set(range(len(inputs))) - set(found)
    while waiting:
        for id, piece in engine.step():
            if isinstance(piece, GatewayError):
                found[id] = piece
                waiting.discard(id)
                continue
            so_far = found.setdefault(id, [])
            assert isinstance(so_far, list)
            so_far.append(piece)
            if piece.finish_reason is not None:
                waiting.discard(id)
    return [found[id] for id in range(len(inputs))]


def say(engine: SpeakingEngine, task: Task, inputs: Sequence[Any]) -> list[SpeechOutput | GatewayError]:
    """The whole audio of each input, or its failure."""
    assert task.collect is not None
    found = zip(pieces(engine, inputs), inputs, strict=True)
    return [part if isinstance(part, GatewayError) else task.collect(part, input) for part, input in found]
