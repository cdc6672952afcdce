"""Which model answers for the name that a caller used, and in which form; knows no body and no answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from starlette.requests import HTTPConnection

from gateway.api.access import Key, Scope
from gateway.api.exchange import exchange_of
from gateway.api.state import State, state_of
from gateway.errors import RateLimited
from gateway.runtime.model import Model
from gateway.tasks import Origin, Task

MAX_AFFINITY_CHARACTERS = 256
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model that answers, the form of its task that the caller's model has, and who the caller is.

    `counted_s` is when the request was counted, on the clock of rates; None if it is not limited.
    """

    model: Model
    task: Task
    origin: Origin
    caller: Key
    counted_s: float | None


async def choose(request: HTTPConnection, name: str) -> Chosen:
    """The model of that name or alias or, where stand-ins are allowed, a starter in place of one that is not here.

    Notes in the request's exchange who answers, so that the caller and the log are told. Every request that names a
    model comes here once, before its input is looked at, and so it is counted here. Raises `PermissionMissing`,
    `ModelNotFound` and `RateLimited`.
    """
    state, exchange = state_of(request), exchange_of(request.scope)
    caller = exchange.require(Scope.RUN)
    asked = state.registry.get(name)
    model = await _stand_in(state, asked) or asked
    exchange.asked, exchange.model, exchange.task = name, model.spec.name, model.spec.task
    if model is not asked:
        _log.info("stand-in", asked=asked.spec.name, model=model.spec.name)
    counted_s = _count(state, caller, model.spec.task)
    affinity = request.headers.get("x-session-affinity", "")[:MAX_AFFINITY_CHARACTERS]
    account = request.path_params["account_id"]
    origin = Origin(exchange.request_id, account, name, affinity, exchange.traceparent)
    return Chosen(model, asked.task, origin, caller, counted_s)


def _count(state: State, caller: Key, task: str) -> float | None:
    """Take note of a request for that task; raises `RateLimited`."""
    limit = caller.rate_limits.get(task)
    if limit is None:
        return None
    now_s = time.monotonic()
    wait_s = state.rates.admit((caller.sha256, task), limit, now_s)
    if wait_s:
        raise RateLimited(wait_s)
    return now_s


def uncount(state: State, chosen: Chosen) -> None:
    """Take the note back: the request turned out to ask no model."""
    if chosen.counted_s is not None:
        state.rates.take_back((chosen.caller.sha256, chosen.model.spec.task), chosen.counted_s)


async def _stand_in(state: State, asked: Model) -> Model | None:
    """The first starter of the same task whose weights are here, if the asked model's are not."""
    if not state.settings.stand_ins or asked.spec.source is None:
        return None
    here = await state.presence.names()
    if asked.spec.name in here:
        return None
    starters = (model for model in state.registry if model.spec.starter and model.spec.task == asked.spec.task)
    return next((model for model in starters if model.spec.name in here), None)
