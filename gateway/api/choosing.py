"""Which model answers for the name that a caller used, and in which form; knows no body and no answer."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from starlette.requests import HTTPConnection

from gateway.api.exchange import exchange_of
from gateway.api.state import State, state_of
from gateway.runtime.model import Model
from gateway.tasks import Origin, Task

MAX_AFFINITY_CHARACTERS = 256
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model that answers, and the form of its task that the caller's model has."""

    model: Model
    task: Task
    origin: Origin


async def choose(request: HTTPConnection, name: str) -> Chosen:
    """The model of that name or alias or, where stand-ins are allowed, a starter in place of one that is not here.

    Notes in the request's exchange who answers, so that the caller and the log are told. Raises `ModelNotFound`.
    """
    state, exchange = state_of(request), exchange_of(request.scope)
    asked = state.registry.get(name)
    model = await _stand_in(state, asked) or asked
    exchange.asked, exchange.model, exchange.task = name, model.spec.name, model.spec.task
    if model is not asked:
        _log.info("stand-in", asked=asked.spec.name, model=model.spec.name)
    affinity = request.headers.get("x-session-affinity", "")[:MAX_AFFINITY_CHARACTERS]
    account = request.path_params["account_id"]
    return Chosen(model, asked.task, Origin(exchange.request_id, account, name, affinity, exchange.traceparent))


async def _stand_in(state: State, asked: Model) -> Model | None:
    """The first starter of the same task whose weights are here, if the asked model's are not."""
    if not state.settings.stand_ins or asked.spec.source is None:
        return None
    here = await state.presence.names()
    if asked.spec.name in here:
        return None
    starters = (model for model in state.registry if model.spec.starter and model.spec.task == asked.spec.task)
    return next((model for model in starters if model.spec.name in here), None)
