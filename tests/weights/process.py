"""One pull in a process of its own, told by JSON lines: each transfer as it begins, then the outcome.

python -m tests.weights.process '{"home": …, "row": {…}, "offline": …, "max_file_bytes": …, "is_guarded": …}'
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from gateway.config import ModelSpec
from gateway.errors import GatewayError
from gateway.weights.lock import Lock
from gateway.weights.store import Store


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Teller:
    def __init__(self) -> None:
        self.arrived_bytes = 0

    def begin(self, name: str, purpose: str, total_bytes: int | None) -> None:
        tell(begun=name, purpose=purpose, total_bytes=total_bytes)

    def advance(self, size_bytes: int) -> None:
        self.arrived_bytes += size_bytes

    def end(self) -> None:
        """The outcome follows."""


def forbid_connections() -> None:
    def guard(event: str, args: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn"):
            tell(attempt=event)
            raise RuntimeError(event)

    sys.addaudithook(guard)


def main(order: dict[str, Any]) -> None:
    if order.get("is_guarded"):
        forbid_connections()
    if limit := order.get("max_file_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    pinned = Lock.model_validate(order["pinned"]) if order.get("pinned") else None
    store = Store(Path(order["home"]), offline=order.get("offline", False), pinned=pinned)
    teller = Teller()
    try:
        path = store.pull(ModelSpec.model_validate(order["row"]), teller)
        tell(path=str(path), arrived_bytes=teller.arrived_bytes)
    except GatewayError as error:
        tell(error=type(error).__name__, detail=error.detail)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
