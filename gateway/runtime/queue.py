"""Waiting requests: bounded, refused at once when full, taken in batches of like length; knows no process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config import ModelSpec
from gateway.errors import Overloaded
from gateway.runtime.affinity import Affinity, Home
from gateway.runtime.request import Request
from gateway.tasks import Extent

# Padding may make a batch at most this many times the work that is really in it.
MAX_PADDING = 1.4


@dataclass(frozen=True, slots=True)
class Budget:
    """The most one batch may hold: rows, and the work in them, which if it `pads` is rows times the longest row."""

    items: int
    tokens: int
    pads: bool = True

    @classmethod
    def of(cls, spec: ModelSpec, *, pads: bool = True, enough: int | None = None) -> Budget:
        """The row's budget, or less if less work is `enough`."""
        return cls(spec.max_batch_items, min(spec.max_batch_tokens, enough or spec.max_batch_tokens), pads)


@dataclass(slots=True)
class Fill:
    """How full a batch is while it is being put together."""

    rows: int
    longest: int
    work: int

    @classmethod
    def of(cls, extent: Extent) -> Fill:
        """A batch of one."""
        return cls(extent.rows, extent.length, extent.rows * extent.length)

    def take(self, extent: Extent, budget: Budget) -> bool:
        """Add `extent` if it stays within the budget and the padding bound; says whether it did."""
        rows, longest = self.rows + extent.rows, max(self.longest, extent.length)
        work = self.work + extent.rows * extent.length
        padded = rows * longest if budget.pads else work
        if rows > budget.items or padded > budget.tokens or padded > MAX_PADDING * work:
            return False
        self.rows, self.longest, self.work = rows, longest, work
        return True


class BatchQueue:
    """First come, first served, as far as lengths allow.

    The oldest request is in every batch, so none starves; the rest of the batch are the waiting requests
    nearest to it in length, so that little is padded, or the next ones where nothing is.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._waiting: dict[int, Request] = {}
        self._affinity = Affinity()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._waiting.values()))

    @property
    def oldest(self) -> Request | None:
        """The request that is served next."""
        return next(iter(self._waiting.values()), None)

    def submit(self, request: Request) -> None:
        """Let `request` wait; raises `Overloaded` if it would be one, or one byte, too many."""
        if len(self._waiting) >= self.max_items or self.size_bytes + request.size_bytes > self.max_bytes:
            raise Overloaded
        self._waiting[request.id] = request
        self.size_bytes += request.size_bytes

    def put_back(self, requests: list[Request]) -> None:
        """Let requests that were already inside a worker wait again, before all others, beyond any bound."""
        again = {request.id: request for request in requests}
        self._waiting = again | self._waiting
        self.size_bytes += sum(request.size_bytes for request in requests)

    def discard(self, request: Request) -> bool:
        """Forget a request; says whether it was waiting."""
        if self._waiting.pop(request.id, None) is None:
            return False
        self.size_bytes -= request.size_bytes
        return True

    def take(self, budget: Budget, *, busy: bool = False, taker: Home | None = None) -> list[Request]:
        """The next batch, possibly empty; at least the oldest request even if it alone is over the budget.

        A request that must run alone comes alone, and only to a worker that is not `busy`. With a `taker`, requests
        whose session stays on another replica are left to that one.
        """
        if budget.items < 1:
            return []
        free = [request for request in self._waiting.values() if self._is_free(request, taker)]
        if not free:
            return []
        head = free[0]
        if head.alone:
            batch = [] if busy else [head]
        else:
            batch = [head, *self._companions(head, free, budget)]
        for request in batch:
            self.discard(request)
            if taker is not None:
                self._affinity.note(request.session, taker)
        return batch

    def _is_free(self, request: Request, taker: Home | None) -> bool:
        return taker is None or self._affinity.allows(request.session, taker)

    def _companions(self, head: Request, free: list[Request], budget: Budget) -> list[Request]:
        others = [request for request in free if request is not head and not request.alone]
        if not others:
            return []
        if budget.pads:
            length = head.extent.length
            others.sort(key=lambda request: abs(request.extent.length - length))
        fill = Fill.of(head.extent)
        chosen = []
        for request in others:
            if not fill.take(request.extent, budget):
                break
            chosen.append(request)
        return chosen
