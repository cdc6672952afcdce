"""An engine over another server, driven as a worker drives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.config import ModelSpec
from gateway.engines.llm import Engine
from gateway.errors import GatewayError
from gateway.tasks import TASKS, Origin, Piece
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generated, Generation, gather
from tests.engines.llm.upstream.scripted import Script, Scripted, scripted

TASK = TASKS.get("text-generation")


HELLO: dict[str, Any] = {"prompt": "Hi", "max_tokens": 5}


class Asked:
    """An input that asks for exactly this."""

    def __init__(self, account: str = "", **fields: Any) -> None:
        if "messages" in fields:
            fields["messages"] = tuple(Message.model_validate(message) for message in fields["messages"])
        self.origin = Origin(account=account)
        self._generation = Generation(**fields)

    def generation(self) -> Generation:
        return self._generation

    def search(self) -> None:
        return None


def load(options: dict[str, Any], files: Path = Path(), **fields: Any) -> Engine:
    spec = ModelSpec(name="@local/chat", task=TASK.name, engine="llm", options=options, **fields)
    return Engine(spec, TASK, files)


@contextmanager
def serving(answer: Script, *, timeout_s: float = 60.0, **options: Any) -> Iterator[tuple[Engine, Scripted]]:
    with scripted(answer) as server:
        engine = load({"url": server.url, **options}, timeout_s=timeout_s, max_streams=8)
        try:
            yield engine, server
        finally:
            engine.close()


def pieces(engine: Engine, input: Asked, id: int = 1) -> list[Piece]:
    """Everything up to the end; raises the failure if that is how it ends."""
    engine.admit(id, input)
    found: list[Piece] = []
    while True:
        for given, piece in engine.step():
            assert given == id
            if isinstance(piece, GatewayError):
                raise piece
            found.append(piece)
            if piece.is_last:
                return found


def ask(engine: Engine, account: str = "", **fields: Any) -> Generated:
    """The whole answer."""
    return gather(pieces(engine, Asked(account, **fields)))
