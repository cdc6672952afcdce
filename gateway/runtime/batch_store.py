"""Batches on disk: what was asked, and the answers so far; knows no model and no route."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gateway.tasks.cost import Unit

RETENTION_S = 24 * 3600.0


class Item(msgspec.Struct):
    """One request of a batch: its packed task input, and the caller's own name for it.

    With `has_addresses` the input is the request as it came: it names media that is fetched only when its turn comes.
    """

    input: bytes
    external_reference: str | None = None
    has_addresses: bool = False


class Batch(msgspec.Struct):
    """What was asked of one model, by one account. `shape` is the form of the model's task that the inputs have.

    `max_cost` bounds what one item may be estimated to take whose media is yet to be fetched.
    """

    id: str
    account: str
    model: str
    shape: str
    items: list[Item]
    max_cost: dict[Unit, int] = {}


class Outcome(msgspec.Struct):
    """The end of one item: the JSON of its result, or of the error that a caller may see, and its tokens."""

    id: int
    success: bool
    body: bytes
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch and the outcomes that are there, in the order of its items."""

    batch: Batch
    outcomes: list[Outcome]

    @property
    def is_done(self) -> bool:
        """Whether every item has its outcome."""
        return len(self.outcomes) == len(self.batch.items)


class BatchStore:
    """Two files for each batch: the request, written whole, and the outcomes, appended one by one.

    A process that dies loses no batch and no finished outcome; what it wrote half, `recover` drops. One process
    writes, and appends to one batch come one after the other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(
        self, account: str, model: str, shape: str, items: list[Item], max_cost: Mapping[Unit, int] | None = None
    ) -> Batch:
        """Keep a new batch; raises `OSError` if the disk does not take it."""
        batch = Batch(str(uuid.uuid4()), account, model, shape, items, dict(max_cost or {}))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = self._folder / f".{batch.id}"
        with scratch.open("wb") as file:
            file.write(msgspec.msgpack.encode(batch))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._request(batch.id))
        return batch

    def find(self, id: str) -> Progress | None:
        """The batch of that id and what it has; None if there is none, or no longer."""
        try:
            batch = msgspec.msgpack.decode(self._request(str(uuid.UUID(id))).read_bytes(), type=Batch)
        except (OSError, ValueError, msgspec.DecodeError):
            return None
        found = {outcome.id: outcome for outcome, _ in self._read(batch.id)}
        return Progress(batch, [found[index] for index in sorted(found) if index < len(batch.items)])

    def recover(self, id: str) -> Progress | None:
        """As `find`, for a batch that an earlier process may have been writing to when it ended."""
        ends = [end for _, end in self._read(id)]
        if self._answers(id).exists():
            os.truncate(self._answers(id), ends[-1] if ends else 0)
        return self.find(id)

    def append(self, batch: Batch, outcome: Outcome) -> None:
        """Keep the outcome of one item."""
        line = msgspec.msgpack.encode(outcome)
        with self._answers(batch.id).open("ab") as file:
            file.write(len(line).to_bytes(4, "little") + line)

    def ids(self) -> list[str]:
        """The batches that are kept, oldest first."""
        files = sorted(self._folder.glob("*.request"), key=lambda file: file.stat().st_mtime)
        return [file.stem for file in files]

    def sweep(self, now_s: float | None = None) -> None:
        """Forget what is older than `RETENTION_S`, finished or not, and what was never written whole."""
        before = (time.time() if now_s is None else now_s) - RETENTION_S
        for file in self._folder.glob("*"):
            if file.stat().st_mtime < before:
                file.unlink(missing_ok=True)

    def _read(self, id: str) -> Iterator[tuple[Outcome, int]]:
        """The whole outcomes, and where each ends in the file."""
        try:
            data = self._answers(id).read_bytes()
        except FileNotFoundError:
            return
        at = 0
        while at + 4 <= len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "little")
            if end > len(data):
                break
            yield msgspec.msgpack.decode(data[at + 4 : end], type=Outcome), end
            at = end

    def _request(self, id: str) -> Path:
        return self._folder / f"{id}.request"

    def _answers(self, id: str) -> Path:
        return self._folder / f"{id}.answers"


def item(input: dict[str, Any], external_reference: str | None, *, has_addresses: bool = False) -> Item:
    """An item from plain values."""
    return Item(msgspec.msgpack.encode(input), external_reference, has_addresses)
