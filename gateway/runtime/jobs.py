"""What both ways of answering share: a job's form and input, its failure; knows no engine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import structlog

from gateway.errors import GatewayError
from gateway.runtime import framing
from gateway.runtime.messages import Failure, Job, Ran, Result
from gateway.tasks import TASKS, Origin, Task, TaskInput

log = structlog.get_logger("gateway.worker")


def form_of(task: Task, job: Job) -> Task:
    """The form that the job is in: the row's, or another of the same task."""
    return task if job.shape is None else TASKS.get(task.name, job.shape)


def parse(task: Task, job: Job) -> TaskInput:
    """The job's input; raises what its form raises for what does not fit."""
    input = form_of(task, job).input.model_validate(framing.unpack(job.input))
    return input.of(Origin(job.request_id, job.account, job.model, traceparent=job.traceparent))


def told_of(jobs: Sequence[Job]) -> dict[str, str]:
    """What log lines say of the jobs."""
    told = {"request_id": ",".join(job.request_id for job in jobs)}
    if traces := [job.traceparent.split("-")[1] for job in jobs if job.traceparent]:
        told["trace_id"] = ",".join(traces)
    return told


def failed(job_id: int, error: BaseException) -> Result:
    """The result of a job that raised; what nobody foresaw is logged with its traceback."""
    if not isinstance(error, GatewayError):
        log.error("inference failed", exc_info=error)
    return Result(job_id, None, Failure.of(error))


def ran(jobs: Iterable[Job], began_at: float) -> list[Ran]:
    """When those of the jobs ran that are traced."""
    return [Ran(job.id, began_at, time.monotonic()) for job in jobs if job.traceparent]
