"""All that gateway and worker say to each other, by type; knows no process and no bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import GatewayError, InferenceFailed, revive
from gateway.tasks import Answer, Piece, Usage


class Message(msgspec.Struct, tag=True, array_like=True):
    """A frame's content; the tag is the class name."""


class Load(Message):
    """Gateway → worker, once: load this row's weights; with `canary`, answer the task's canary before reporting."""

    spec: dict[str, Any]
    files: str
    canary: bool


class Job(msgspec.Struct, array_like=True):
    """One request inside a worker; `input` is its packed task input.

    `shape` is the task's form that the request has and its answer gets, None for the row's own; `account` and
    `model` are those of its `Origin`, and so is `traceparent`: with one, the worker tells when it ran.
    """

    id: int
    request_id: str
    stream: bool
    input: msgspec.Raw
    shape: str | None = None
    account: str = ""
    model: str = ""
    traceparent: str = ""


class Run(Message):
    """Gateway → worker: answer these; a batch for an engine, arrivals for a streaming engine."""

    jobs: list[Job]


class Drop(Message):
    """Gateway → worker: the caller of this request has left."""

    id: int


class Stop(Message):
    """Gateway → worker: end after what is running now."""


class Ping(Message):
    """Gateway → worker, while nothing is inside: answer with `Pong`."""


class Taken(msgspec.Struct, array_like=True, frozen=True):
    """Bytes of memory a worker takes by itself, now and at most so far: of the host and of the GPUs."""

    host: int = 0
    host_peak: int = 0
    gpu: int = 0
    gpu_peak: int = 0


class Loaded(Message):
    """Worker → gateway: ready; how it runs, where the seconds of loading went, and what memory it takes.

    `engine` is the file of gateway/engines that was taken, `served_by` says for operators what answers; beyond
    `taken` it may grow by `cache_bytes` by design. `sandbox` says what the process may do, by name. `pads` is
    whether texts of a batch are made equally long, so that their lengths matter; `enough` is the work, in the task's
    unit of length, beyond which a batch gains nothing.
    """

    streams: bool
    device: str
    seconds: dict[str, float]
    engine: str = ""
    served_by: str = ""
    taken: Taken = Taken()
    cache_bytes: int = 0
    sandbox: dict[str, str] = {}
    pads: bool = True
    enough: int | None = None


class Failure(msgspec.Struct, array_like=True):
    """A failure as data: the name of a `GatewayError`, its detail, and what it says of sending again."""

    kind: str
    detail: str
    should_retry: bool | None = None
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What may be told of `error`: a `GatewayError` says itself, anything else is `InferenceFailed`."""
        if isinstance(error, GatewayError):
            return cls(type(error).__name__, error.detail, error.should_retry, error.retry_after_s)
        return cls(InferenceFailed.__name__, InferenceFailed.default, InferenceFailed.should_retry)

    def error(self) -> GatewayError:
        """The error to raise on this side of the pipe."""
        error = revive(self.kind, self.detail)
        error.should_retry, error.retry_after_s = self.should_retry, self.retry_after_s
        return error


class LoadFailed(Message):
    """Worker → gateway: the weights could not be loaded."""

    reason: str


class Result(msgspec.Struct, array_like=True):
    """The answer to one job, or its failure."""

    id: int
    answer: Answer | None
    failure: Failure | None = None


class Ran(msgspec.Struct, array_like=True, frozen=True):
    """When a traced job was worked on, in seconds of `time.monotonic`, which the processes of a machine share."""

    id: int
    began_at: float
    ended_at: float


class Results(Message):
    """Worker → gateway: finished jobs, and when those of them ran that are traced. `idle`: the batch is over."""

    results: list[Result]
    idle: bool = False
    ran: list[Ran] = []


class Pieces(Message):
    """Worker → gateway: what one step gave, as (id, piece), and when traced jobs that it finished ran."""

    pieces: list[tuple[int, Piece]]
    ran: list[Ran] = []


class Spent(Message):
    """Worker → gateway: what a request had cost that has no answer, since its caller left or it failed."""

    usage: Usage


class Beat(Message):
    """Worker → gateway: a step ended without news; the worker is alive."""


class Pong(Message):
    """Worker → gateway: the answer to `Ping`."""


class Grown(Message):
    """Worker → gateway, at most once a second: its memory changed noticeably."""

    taken: Taken


ToWorker = Load | Run | Drop | Stop | Ping
FromWorker = Loaded | LoadFailed | Results | Pieces | Spent | Beat | Pong | Grown
