"""One request between acceptance and answer: its packed input, its deadline, and where its answer goes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque

from gateway.errors import GatewayError, RequestTimeout
from gateway.runtime.messages import Job
from gateway.runtime.timing import Timing
from gateway.tasks import Answer, Extent, Piece, Usage

_ids = itertools.count(1)


class Request:
    """Gets exactly one answer, one error, or a stream of pieces that ends; whatever comes later is dropped."""

    __slots__ = (
        "accepted_at",
        "alone",
        "answer",
        "deadline",
        "extent",
        "id",
        "job",
        "news",
        "pieces",
        "session",
        "size_bytes",
        "spent",
        "started",
        "timing",
    )

    def __init__(
        self, job: Job, extent: Extent, deadline: float, session: str = "", timing: Timing | None = None
    ) -> None:
        """`deadline` is in the event loop's time, in seconds, and so is `accepted_at`; `timing` is kept up to date.

        Requests of one `session` wish to be answered by one replica. `spent` is what its pieces have cost so far.
        """
        self.session = session
        self.accepted_at = asyncio.get_running_loop().time()
        self.id = job.id
        self.job = job
        self.extent = extent
        self.deadline = deadline
        self.timing = timing or Timing()
        self.size_bytes = len(memoryview(job.input))
        self.alone = False
        self.started = False
        self.spent: Usage | None = None
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.pieces: deque[Piece] = deque()
        self.news = asyncio.Event() if job.stream else None

    @staticmethod
    def next_id() -> int:
        """An id that no other request of this process has."""
        return next(_ids)

    @property
    def is_over(self) -> bool:
        """Whether the answer is there or the caller has left."""
        return self.answer.done()

    def succeed(self, answer: Answer) -> None:
        """Hand over the answer; a caller who takes pieces gets it as the only one."""
        if not self.answer.done():
            self.timing.end()
            self.timing.usage = answer.usage
            if self.news is not None:
                extra = {"media_type": answer.media_type}
                self.add(Piece(data=answer.body, finish_reason="stop", usage=answer.usage, extra=extra))
            self.answer.set_result(answer)

    def fail(self, error: GatewayError) -> None:
        """Hand over the failure."""
        if not self.answer.done():
            self.timing.end()
            self.answer.set_exception(error.fresh())
            self.answer.exception()
            if self.news is not None:
                self.news.set()

    def abandon(self) -> None:
        """The caller has left: nobody will look at the answer."""
        if not self.answer.done():
            self.answer.cancel()

    def add(self, piece: Piece) -> None:
        """Hand over a piece; while the caller is slow, text pieces grow together instead of piling up."""
        if not self.started:
            self.started, self.timing.first_at = True, time.monotonic()
        if piece.is_last:
            self.timing.end()
            self.timing.usage = piece.usage
        self.spent = piece.usage or self.spent
        last = self.pieces[-1] if self.pieces else None
        if last is None or not last.absorb(piece):
            self.pieces.append(piece)
        if self.news is not None:
            self.news.set()

    async def next_piece(self, patience_s: float) -> Piece:
        """The next piece; raises the request's failure, or `RequestTimeout` after `patience_s` without one."""
        assert self.news is not None
        if not self.pieces and not self.answer.done():
            self.news.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self.news.wait()
            except TimeoutError:
                raise RequestTimeout from None
        if self.pieces:
            return self.pieces.popleft()
        self.answer.result()
        raise AssertionError("a stream is over only by failure or by its last piece")
