"""Batches on disk: what was asked, and the answers so far; knows no model and no route."""

from __future__ import annotations

import errno
import os
import struct
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import GIB
from gateway.tasks.cost import Unit
from gateway.weights.content import size_below

RETENTION_S = 24 * 3600.0
MAX_BYTES = 8 * GIB
# Before each outcome: how many bytes its mark and its body have.
_HEAD = struct.Struct("<BI")


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


class Mark(msgspec.Struct):
    """What is kept of an outcome beside its body: the item it ends, how, and its tokens."""

    id: int
    success: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """A finished item's mark, and where the body of its outcome stands in the file of answers."""

    mark: Mark
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one item: the JSON of its result, or of the error that a caller may see."""

    mark: Mark
    body: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch and which of its items are finished, by their places and in their order; no answer is in memory."""

    batch: Batch
    done: Mapping[int, Done] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether every item has its outcome."""
        return len(self.done) == len(self.batch.items)


class BatchStore:
    """Two files for each batch: the request, written whole, and the outcomes, appended one by one.

    A process that dies loses no batch and no finished outcome; what it wrote half, `recover` drops. One process
    writes, and appends to one batch come one after the other. All files together stay within `max_bytes`.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._kept_bytes = 0

    def add(
        self, account: str, model: str, shape: str, items: list[Item], max_cost: Mapping[Unit, int] | None = None
    ) -> Batch:
        """Keep a new batch; raises `OSError` if the disk does not take it, or there is no room for it."""
        batch = Batch(str(uuid.uuid4()), account, model, shape, items, dict(max_cost or {}))
        packed = msgspec.msgpack.encode(batch)
        if not self.has_room(len(packed)):
            raise OSError(errno.EDQUOT, f"all batches together have {self._kept_bytes} bytes of {self._max_bytes}")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = self._folder / f".{batch.id}"
        with scratch.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._request(batch.id))
        self._kept_bytes += len(packed)
        return batch

    def has_room(self, size_bytes: int) -> bool:
        """Whether that much more can be kept."""
        return self._kept_bytes + size_bytes <= self._max_bytes

    def find(self, id: str) -> Progress | None:
        """The batch of that id and what it has; None if there is none, or no longer."""
        try:
            batch = msgspec.msgpack.decode(self._request(str(uuid.UUID(id))).read_bytes(), type=Batch)
        except (OSError, ValueError, msgspec.DecodeError):
            return None
        found = {done.mark.id: done for done in self._read(batch.id)}
        return Progress(batch, {index: found[index] for index in sorted(found) if index < len(batch.items)})

    def outcomes(self, progress: Progress) -> Iterator[Outcome]:
        """The outcomes that are there, one after the other; raises `OSError` if they were forgotten meanwhile."""
        with self._answers(progress.batch.id).open("rb") as file:
            for done in progress.done.values():
                file.seek(done.start)
                yield Outcome(done.mark, file.read(done.end - done.start))

    def recover(self, id: str) -> Progress | None:
        """As `find`, for a batch that an earlier process may have been writing to when it ended."""
        ends = [done.end for done in self._read(id)]
        if self._answers(id).exists():
            os.truncate(self._answers(id), ends[-1] if ends else 0)
        return self.find(id)

    def append(self, batch: Batch, outcome: Outcome) -> None:
        """Keep the outcome of one item."""
        mark = msgspec.msgpack.encode(outcome.mark)
        line = _HEAD.pack(len(mark), len(outcome.body)) + mark + outcome.body
        with self._answers(batch.id).open("ab") as file:
            file.write(line)
        self._kept_bytes += len(line)

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
        self._kept_bytes = size_below(self._folder)

    def _read(self, id: str) -> Iterator[Done]:
        """The whole outcomes; their bodies are passed over."""
        with suppress(FileNotFoundError), self._answers(id).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                mark_bytes, body_bytes = _HEAD.unpack(head)
                start = file.tell() + mark_bytes
                if start + body_bytes > size:
                    return
                yield Done(msgspec.msgpack.decode(file.read(mark_bytes), type=Mark), start, start + body_bytes)
                file.seek(start + body_bytes)

    def _request(self, id: str) -> Path:
        return self._folder / f"{id}.request"

    def _answers(self, id: str) -> Path:
        return self._folder / f"{id}.outcomes"


def item(input: dict[str, Any], external_reference: str | None, *, has_addresses: bool = False) -> Item:
    """An item from plain values."""
    return Item(msgspec.msgpack.encode(input), external_reference, has_addresses)
