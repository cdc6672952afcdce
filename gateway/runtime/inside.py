"""The requests inside one worker, from the batch that brought them to their answers; knows no process and no queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping

from gateway.errors import GatewayError, InferenceFailed
from gateway.runtime.messages import Pieces, Ran, Result, Results, Spent
from gateway.runtime.metrics import Metrics
from gateway.runtime.request import Request
from gateway.tasks import Answer, Piece


class Inside(Mapping[int, Request]):
    """Keeps each request, by its id, until it is answered, failed or taken out; what was made of any is counted.

    `idle_since` is when the last one left, `has_served` whether any got an answer.
    """

    def __init__(self, model: str, metrics: Metrics) -> None:
        self.idle_since = time.monotonic()
        self.has_served = False
        self._model = model
        self._metrics = metrics
        self._requests: dict[int, Request] = {}

    def __getitem__(self, id: int) -> Request:
        return self._requests[id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, batch: Iterable[Request]) -> None:
        """Requests go in."""
        self._requests |= {request.id: request for request in batch}

    def settle(self, message: Results, worker: int) -> None:
        """Hand over answers and failures that came from the process `worker`."""
        self._note_work(message.ran, worker)
        for result in message.results:
            self.meter(result.answer)
            if (request := self._take(result.id)) is not None:
                self._finish(request, result)

    def pass_on(self, message: Pieces, worker: int) -> bool:
        """Hand over pieces that came from the process `worker`; says whether a request ended with them."""
        self._note_work(message.ran, worker)
        before = len(self)
        for id, piece in message.pieces:
            if piece.is_last:
                self.meter(piece)
            if (request := self._take(id) if piece.is_last else self.get(id)) is not None:
                request.add(piece)
                self.has_served |= piece.is_last
        return len(self) < before

    def drop(self, request: Request) -> bool:
        """Let go of a request whose caller has left; says whether it was inside."""
        return self._take(request.id) is not None

    def take_out_bystanders(self) -> list[Request]:
        """Let go of those that a lost worker is not the end of, to run again, each alone."""
        now = asyncio.get_running_loop().time()
        found = [r for r in self.values() if not (r.alone or r.started or r.is_over or r.deadline <= now)]
        for request in found:
            del self._requests[request.id]
            request.alone = True
        return found

    def fail(self, error: GatewayError) -> None:
        """Nothing that is inside will be answered; what was made of it counts all the same."""
        for request in self.values():
            if request.spent is not None:
                self._metrics.count_usage(self._model, request.spent)
            request.fail(error)
        self._requests.clear()
        self.idle_since = time.monotonic()

    def meter(self, source: Answer | Piece | Spent | None) -> None:
        """What was made counts, whether or not its caller is still there."""
        if source is not None and source.usage is not None:
            self._metrics.count_usage(self._model, source.usage)

    def _take(self, id: int) -> Request | None:
        request = self._requests.pop(id, None)
        if not self._requests:
            self.idle_since = time.monotonic()
        return request

    def _finish(self, request: Request, result: Result) -> None:
        if result.answer is not None:
            self.has_served = True
            request.succeed(result.answer)
        else:
            request.fail(result.failure.error() if result.failure else InferenceFailed())

    def _note_work(self, ran: Iterable[Ran], worker: int) -> None:
        for job in ran:
            if (request := self.get(job.id)) is not None:
                request.timing.work(job.began_at, job.ended_at, worker)
