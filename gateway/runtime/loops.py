"""How a worker answers: batch after batch, or step by step; knows an engine, a task and a pipe, no process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from gateway.engines.base import Engine, StreamEngine
from gateway.errors import GatewayError, InferenceFailed
from gateway.runtime import framing, messages
from gateway.runtime.messages import (
    Beat,
    Drop,
    Failure,
    Job,
    Pieces,
    Ping,
    Pong,
    Ran,
    Result,
    Results,
    Run,
    Spent,
    Stop,
)
from gateway.runtime.meter import Meter
from gateway.tasks import TASKS, Answer, Origin, Piece, Task, TaskInput, Usage

BEAT_S = 0.5
log = structlog.get_logger("gateway.worker")


class Pipe(Protocol):
    """The worker's end of the pipe."""

    sent_at: float

    def receive(self, *, wait: bool) -> Any:
        """The next message; None if there is none and `wait` is false."""

    def send(self, message: messages.Message) -> None:
        """Send one message."""


def _form(task: Task, job: Job) -> Task:
    """The form that the job is in: the row's, or another of the same task."""
    return task if job.shape is None else TASKS.get(task.name, job.shape)


def _parse(task: Task, job: Job) -> TaskInput:
    input = _form(task, job).input.model_validate(framing.unpack(job.input))
    return input.of(Origin(job.request_id, job.account, job.model))


def _failed(job_id: int, error: BaseException) -> Result:
    if not isinstance(error, GatewayError):
        log.error("inference failed", exc_info=error)
    return Result(job_id, None, Failure.of(error))


def _ran(jobs: Iterable[Job], began_at: float) -> list[Ran]:
    """When those of the jobs ran that are traced."""
    return [Ran(job.id, began_at, time.monotonic()) for job in jobs if job.traceparent]


class BatchLoop:
    """Answers batch after batch; a batch that raises is run again one input at a time."""

    def __init__(self, pipe: Pipe, engine: Engine, task: Task, meter: Meter) -> None:
        self._pipe = pipe
        self._engine = engine
        self._task = task
        self._meter = meter

    def run(self) -> None:
        """Answer until told to stop."""
        while not isinstance(message := self._pipe.receive(wait=True), Stop):
            if isinstance(message, Run):
                self._answer(message.jobs)
                self._meter.report(self._pipe.send)
            elif isinstance(message, Ping):
                self._pipe.send(Pong())

    def _answer(self, jobs: list[Job]) -> None:
        began_at = time.monotonic()
        with structlog.contextvars.bound_contextvars(request_id=",".join(job.request_id for job in jobs)):
            try:
                results = self._outputs(jobs)
            except Exception as error:
                if len(jobs) == 1:
                    results = [_failed(jobs[0].id, error)]
                else:
                    log.warning("batch failed, its inputs are run one by one", items=len(jobs), reason=repr(error))
                    self._answer_each(jobs)
                    jobs, results = [], []
        self._pipe.send(Results(results, idle=True, ran=_ran(jobs, began_at)))

    def _answer_each(self, jobs: list[Job]) -> None:
        for job in jobs:
            began_at = time.monotonic()
            with structlog.contextvars.bound_contextvars(request_id=job.request_id):
                try:
                    results = self._outputs([job])
                except Exception as error:
                    results = [_failed(job.id, error)]
            self._pipe.send(Results(results, ran=_ran([job], began_at)))

    def _outputs(self, jobs: list[Job]) -> list[Result]:
        outputs = self._engine.run([_parse(self._task, job) for job in jobs])
        if len(outputs) != len(jobs):
            raise InferenceFailed(f"the engine gave {len(outputs)} outputs for {len(jobs)} inputs")
        return [self._result(job, output) for job, output in zip(jobs, outputs, strict=True)]

    def _result(self, job: Job, output: Any) -> Result:
        if isinstance(output, BaseException):
            return _failed(job.id, output)
        return Result(job.id, _form(self._task, job).encode(output))


@dataclass(slots=True)
class _Collection:
    """The pieces of one answer until it is whole."""

    form: Task
    input: TaskInput
    pieces: list[Piece] = field(default_factory=list)

    def answer(self) -> Answer:
        assert self.form.collect is not None
        return self.form.encode(self.form.collect(self.pieces, self.input))


class StreamLoop:
    """Steps a streaming engine while anything is inside; whole answers are collected here for callers that wait."""

    def __init__(self, pipe: Pipe, engine: StreamEngine, task: Task, meter: Meter) -> None:
        self._pipe = pipe
        self._engine = engine
        self._task = task
        self._meter = meter
        self._inside: dict[int, Job] = {}
        self._collected: dict[int, _Collection] = {}
        self._admitted_at: dict[int, float] = {}
        self._counts: dict[int, Usage] = {}

    def run(self) -> None:
        """Answer until told to stop and nothing is inside."""
        stopping = False
        while not (stopping and not self._inside):
            message = self._pipe.receive(wait=not self._inside)
            while message is not None:
                match message:
                    case Run(jobs):
                        self._admit(jobs)
                    case Drop(id):
                        self._drop(id)
                    case Ping():
                        self._pipe.send(Pong())
                    case Stop():
                        stopping = True
                message = self._pipe.receive(wait=False)
            if self._inside:
                self._step()
                self._meter.report(self._pipe.send)

    def _admit(self, jobs: list[Job]) -> None:
        failed, began_at = [], time.monotonic()
        for job in jobs:
            try:
                input = _parse(self._task, job)
                self._engine.admit(job.id, input)
            except Exception as error:
                failed.append(_failed(job.id, error))
            else:
                self._inside[job.id] = job
                if job.traceparent:
                    self._admitted_at[job.id] = began_at
                if not job.stream:
                    self._collected[job.id] = _Collection(_form(self._task, job), input)
        if failed:
            self._pipe.send(Results(failed))

    def _drop(self, job_id: int) -> None:
        """There will be no answer: what was made for it until now is counted all the same."""
        if job_id not in self._inside:
            return
        counted = self._forget(job_id)
        usage = self._engine.drop(job_id) or counted
        if usage is not None:
            self._pipe.send(Spent(usage))

    def _step(self) -> None:
        try:
            pieces = self._engine.step()
        except Exception as error:
            self._fail_all(error)
            return
        self._deliver(pieces)
        if time.monotonic() - self._pipe.sent_at > BEAT_S:
            self._pipe.send(Beat())

    def _fail_all(self, error: Exception) -> None:
        failed = [_failed(job_id, error) for job_id in self._inside]
        for job_id in list(self._inside):
            self._drop(job_id)
        self._pipe.send(Results(failed))

    def _deliver(self, pieces: Sequence[tuple[int, Piece | GatewayError]]) -> None:
        streamed: list[tuple[int, Piece]] = []
        finished: list[Result] = []
        ran = [] if not self._admitted_at else self._ended(pieces)
        for job_id, piece in pieces:
            if job_id not in self._inside:
                continue
            if isinstance(piece, GatewayError):
                finished.append(_failed(job_id, piece))
                self._drop(job_id)
                continue
            if piece.usage is not None:
                self._counts[job_id] = piece.usage
            if job_id in self._collected:
                self._collected[job_id].pieces.append(piece)
            else:
                streamed.append((job_id, piece))
            if piece.is_last:
                finished += self._finish(job_id)
        if streamed:
            self._pipe.send(Pieces(streamed, ran))
        if finished:
            self._pipe.send(Results(finished, ran=ran))

    def _ended(self, pieces: Sequence[tuple[int, Piece | GatewayError]]) -> list[Ran]:
        """When those traced jobs ran that end with these pieces."""
        now = time.monotonic()
        ended = [job_id for job_id, piece in pieces if isinstance(piece, GatewayError) or piece.is_last]
        return [Ran(id, self._admitted_at.pop(id), now) for id in ended if id in self._admitted_at]

    def _forget(self, job_id: int) -> Usage | None:
        """What its pieces have told of its cost."""
        del self._inside[job_id]
        self._collected.pop(job_id, None)
        self._admitted_at.pop(job_id, None)
        return self._counts.pop(job_id, None)

    def _finish(self, job_id: int) -> list[Result]:
        collected = self._collected.get(job_id)
        usage = self._forget(job_id)
        if collected is None:
            return []
        try:
            return [Result(job_id, collected.answer())]
        except Exception as error:
            if usage is not None:
                self._pipe.send(Spent(usage))
            return [_failed(job_id, error)]
