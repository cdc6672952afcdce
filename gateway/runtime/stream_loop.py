"""How a worker answers step by step; knows an engine, a task and a pipe, no process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.engines.base import StreamEngine
from gateway.errors import GatewayError
from gateway.runtime.jobs import failed, form_of, parse
from gateway.runtime.messages import Beat, Drop, Job, Pieces, Ping, Pong, Ran, Result, Results, Run, Spent, Stop
from gateway.runtime.meter import Meter
from gateway.runtime.pipe import Pipe
from gateway.runtime.pricing import Till
from gateway.tasks import Answer, Piece, Task, TaskInput, Usage

BEAT_S = 0.5


@dataclass(slots=True)
class _Inside:
    """One request inside the engine.

    Its pieces are kept until the answer is whole, unless they are streamed. `counted` is what they have told of its
    cost; `admitted_at` is 0 if nobody traces it.
    """

    form: Task
    input: TaskInput
    is_streamed: bool
    admitted_at: float
    pieces: list[Piece] = field(default_factory=list)
    counted: Usage | None = None

    def answer(self) -> Answer:
        assert self.form.collect is not None
        answer = self.form.encode(self.form.collect(self.pieces, self.input))
        answer.usage = answer.usage or self.counted
        return answer


class StreamLoop:
    """Steps a streaming engine while anything is inside; whole answers are collected here for callers that wait."""

    def __init__(self, pipe: Pipe, engine: StreamEngine, task: Task, meter: Meter, till: Till) -> None:
        self._pipe = pipe
        self._engine = engine
        self._task = task
        self._meter = meter
        self._till = till
        self._inside: dict[int, _Inside] = {}

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
        refused, now = [], time.monotonic()
        for job in jobs:
            try:
                input = parse(self._task, job)
                self._engine.admit(job.id, input)
            except Exception as error:
                refused.append(failed(job.id, error))
            else:
                admitted_at = now if job.traceparent else 0.0
                self._inside[job.id] = _Inside(form_of(self._task, job), input, job.stream, admitted_at)
        if refused:
            self._pipe.send(Results(refused))

    def _drop(self, job_id: int) -> None:
        """There will be no answer: what was made for it until now is counted all the same."""
        inside = self._inside.pop(job_id, None)
        if inside is None:
            return
        usage = self._engine.drop(job_id) or inside.counted
        if usage is not None:
            self._till.note_spent(inside.form, inside.input, usage)
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
        results = [failed(job_id, error) for job_id in self._inside]
        for job_id in list(self._inside):
            self._drop(job_id)
        self._pipe.send(Results(results))

    def _deliver(self, pieces: Sequence[tuple[int, Piece | GatewayError]]) -> None:
        streamed: list[tuple[int, Piece]] = []
        finished: list[Result] = []
        ran: list[Ran] = []
        for job_id, piece in pieces:
            inside = self._inside.get(job_id)
            if inside is None:
                continue
            is_last = isinstance(piece, GatewayError) or piece.is_last
            if is_last and inside.admitted_at:
                ran.append(Ran(job_id, inside.admitted_at, time.monotonic()))
            if isinstance(piece, GatewayError):
                finished.append(failed(job_id, piece))
                self._drop(job_id)
                continue
            self._count(inside, piece)
            if inside.is_streamed:
                streamed.append((job_id, piece))
            else:
                inside.pieces.append(piece)
            if is_last:
                finished += self._finish(job_id)
        if streamed:
            self._pipe.send(Pieces(streamed, ran))
        if finished:
            self._pipe.send(Results(finished, ran=ran))

    def _count(self, inside: _Inside, piece: Piece) -> None:
        if piece.is_last:
            piece.usage = self._till.note(inside.form, inside.input, piece) or piece.usage
        inside.counted = piece.usage or inside.counted

    def _finish(self, job_id: int) -> list[Result]:
        inside = self._inside.pop(job_id)
        if inside.is_streamed:
            return []
        try:
            return [Result(job_id, inside.answer())]
        except Exception as error:
            if inside.counted is not None:
                self._pipe.send(Spent(inside.counted))
            return [failed(job_id, error)]
