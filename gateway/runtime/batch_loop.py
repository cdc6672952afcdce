"""How a worker answers batch after batch; knows an engine, a task and a pipe, no process."""

from __future__ import annotations

import time
from typing import Any

import structlog

from gateway.engines.base import Engine
from gateway.errors import InferenceFailed
from gateway.runtime.jobs import failed, form_of, parse, ran, told_of
from gateway.runtime.messages import Job, Ping, Pong, Result, Results, Run, Stop
from gateway.runtime.meter import Meter
from gateway.runtime.pipe import Pipe
from gateway.runtime.pricing import Till
from gateway.tasks import Task, TaskInput

log = structlog.get_logger("gateway.worker")


class BatchLoop:
    """Answers batch after batch; a batch that raises is run again one input at a time."""

    def __init__(self, pipe: Pipe, engine: Engine, task: Task, meter: Meter, till: Till) -> None:
        self._pipe = pipe
        self._engine = engine
        self._task = task
        self._meter = meter
        self._till = till

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
        with structlog.contextvars.bound_contextvars(**told_of(jobs)):
            try:
                results = self._outputs(jobs)
            except Exception as error:
                if len(jobs) == 1:
                    results = [failed(jobs[0].id, error)]
                else:
                    log.warning("batch failed, its inputs are run one by one", items=len(jobs), reason=repr(error))
                    self._answer_each(jobs)
                    jobs, results = [], []
        self._pipe.send(Results(results, idle=True, ran=ran(jobs, began_at)))

    def _answer_each(self, jobs: list[Job]) -> None:
        for job in jobs:
            began_at = time.monotonic()
            with structlog.contextvars.bound_contextvars(**told_of([job])):
                try:
                    results = self._outputs([job])
                except Exception as error:
                    results = [failed(job.id, error)]
            self._pipe.send(Results(results, ran=ran([job], began_at)))

    def _outputs(self, jobs: list[Job]) -> list[Result]:
        inputs = [parse(self._task, job) for job in jobs]
        outputs = self._engine.run(inputs)
        if len(outputs) != len(jobs):
            raise InferenceFailed(f"the engine gave {len(outputs)} outputs for {len(jobs)} inputs")
        return [self._result(*parts) for parts in zip(jobs, inputs, outputs, strict=True)]

    def _result(self, job: Job, input: TaskInput, output: Any) -> Result:
        if isinstance(output, BaseException):
            return failed(job.id, output)
        form = form_of(self._task, job)
        usage = self._till.note(form, input, output)
        answer = form.encode(output)
        answer.usage = answer.usage or usage
        return Result(job.id, answer)
