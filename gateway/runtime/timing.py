"""Where one request's time went, from its place in the queue to its answer; knows no HTTP."""

from __future__ import annotations

import time

from gateway.tasks import Usage


class Timing:
    """Moments of one request, in seconds of `time.monotonic`; 0 is a moment that has not come.

    A request that runs again, because its worker was lost, is taken anew: the time lost counts as waiting.
    `worked_from` and `worked_until` are told by the worker with that process id, of traced requests alone; `usage`
    are the tokens of the answer, once it is there.
    """

    __slots__ = (
        "batch_items",
        "ended_at",
        "first_at",
        "load_ended_at",
        "load_s",
        "queued_at",
        "taken_at",
        "usage",
        "worked_from",
        "worked_until",
        "worker",
    )

    def __init__(self) -> None:
        self.queued_at = self.taken_at = self.first_at = self.ended_at = self.load_s = self.load_ended_at = 0.0
        self.worked_from = self.worked_until = 0.0
        self.batch_items = self.worker = 0
        self.usage: Usage | None = None

    def queue(self) -> None:
        """A model accepted the request."""
        self.queued_at = time.monotonic()

    def take(self, now: float, batch_items: int, load_began_at: float, load_ended_at: float) -> None:
        """A worker takes the request, with others if `batch_items` is more than 1.

        Of that worker's load counts what the request had to wait for.
        """
        self.taken_at, self.batch_items = now, batch_items
        self.load_s = max(0.0, load_ended_at - max(load_began_at, self.queued_at))
        self.load_ended_at = load_ended_at

    def work(self, began_at: float, ended_at: float, worker: int) -> None:
        """The worker tells when it worked on the request."""
        self.worked_from, self.worked_until, self.worker = began_at, ended_at, worker

    def end(self) -> None:
        """The answer is there, or the failure."""
        self.ended_at = time.monotonic()

    @property
    def was_queued(self) -> bool:
        """Whether the request was accepted by a model."""
        return self.queued_at > 0

    @property
    def queue_s(self) -> float:
        """Waiting for a worker that is free or for memory to load one, so far."""
        return max(0.0, (self.taken_at or self.ended_at or time.monotonic()) - self.queued_at - self.load_s)

    @property
    def run_s(self) -> float:
        """From being taken by the worker to the answer, so far; 0 before."""
        return (self.ended_at or time.monotonic()) - self.taken_at if self.taken_at else 0.0

    @property
    def first_s(self) -> float | None:
        """From being taken by the worker to the first piece of a stream; None before it, and for whole answers."""
        return self.first_at - self.taken_at if self.first_at else None
