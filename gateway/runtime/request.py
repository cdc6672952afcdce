"""One request between acceptance and answer: its packed input, its deadline, and where its answer goes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque

from gateway.errors import GatewayError, RequestTimeout
from gateway.runtime.messages import Job
from gateway.runtime.patience import Patience
from gateway.runtime.timing import Timing
from gateway.tasks import Answer, Extent, Piece, Usage

_ids = itertools.count(1)


class Request:
    """Gets exactly one answer, one error, or a stream of pieces that ends; whatever comes later is dropped."""

    __slots__ = (
        "_streams",
        "_waiting",
        "accepted_at",
        "alone",
        "answer",
        "deadline",
        "extent",
        "id",
        "job",
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
        self._streams = job.stream
        self._waiting: asyncio.Future[None] | None = None

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
            if self._streams:
                extra = {"media_type": answer.media_type}
                self.add(Piece(data=answer.body, finish_reason="stop", usage=answer.usage, extra=extra))
            self.answer.set_result(answer)

    def fail(self, error: GatewayError) -> None:
        """Hand over the failure."""
        if not self.answer.done():
            self.timing.end()
            self.answer.set_exception(error.fresh())
            self.answer.exception()
            self._tell()

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
        self._tell()

    def _tell(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next_piece(self, patience: Patience) -> Piece:
        """The next piece, for one who waits at a time; raises the request's failure, or `RequestTimeout`."""
        if not self.pieces and not self.answer.done():
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                with patience:
                    await self._waiting
            except TimeoutError:
                raise RequestTimeout from None
            finally:
                self._waiting = None
        if self.pieces:
            return self.pieces.popleft()
        self.answer.result()
        raise AssertionError("a stream is over only by failure or by its last piece")
