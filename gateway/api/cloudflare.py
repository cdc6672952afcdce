"""The run route: one model, one input, one answer (docs/api.md); knows no task and no process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response

from gateway.api import batches
from gateway.api.answering import reply
from gateway.api.asking import asked_in, body_of, parsed, read_document
from gateway.api.bodies import may_wait, number_fields
from gateway.api.choosing import Chosen, choose
from gateway.api.envelope import success
from gateway.api.routes import RunRoute
from gateway.api.state import state_of
from gateway.errors import BadInput, RequestTooLarge

_PATH_PARAMETERS = [
    {"name": "account_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    {"name": "model_name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "@cf/vendor/model"},
]
_INPUT = {"schema": {"type": "object", "description": "the input of the model's task"}}
_MEDIA = {"schema": {"type": "string", "format": "binary", "description": "for tasks that take media"}}
_RUN = {
    "parameters": _PATH_PARAMETERS,
    "requestBody": {
        "required": True,
        "content": {"application/json": _INPUT, "multipart/form-data": _INPUT, "application/octet-stream": _MEDIA},
    },
}
_NAMED_INPUT = {
    "schema": {
        "type": "object",
        "required": ["model", "input"],
        "properties": {"model": {"type": "string"}, "input": {"type": "object"}},
    }
}
_RUN_NAMED = {
    "parameters": _PATH_PARAMETERS[:1],
    "requestBody": {"required": True, "content": {"application/json": _NAMED_INPUT}},
}


async def run(request: Request) -> Response:
    """Run the model named in the path. Raises `GatewayError`."""
    name = request.path_params["model_name"]
    # Some clients escape a name that a library escapes once more; the server undoes one of the two.
    chosen = _spoken_to(await choose(request, unquote(name) if "%" in name else name))
    body = await body_of(request, chosen.task.max_body_bytes)
    if batches.may_be_batch(request, body) and (answer := await batches.answer(request, chosen, body)) is not None:
        return answer
    return await reply(request, chosen, await asked_in(request, chosen.task, body), success)


async def run_named(request: Request) -> Response:
    """Run the model named in the body, `{"model": …, "input": …}`. Raises `GatewayError`."""
    tasks = [model.task for model in state_of(request).registry]
    limit_bytes = max((task.max_body_bytes for task in tasks), default=0)
    media_fields = {name for task in tasks for name in number_fields(task.input)}
    document, size_bytes = await read_document(request, limit_bytes, media_fields)
    name, values = _named(document)
    chosen = _spoken_to(await choose(request, name))
    if size_bytes > chosen.task.max_body_bytes:
        raise RequestTooLarge(f"the body is larger than {chosen.task.max_body_bytes} bytes")
    asked = await parsed(request, chosen.task, values, size_bytes)
    # The platform's options stand beside the input or in it.
    return await reply(request, chosen, replace(asked, waits=asked.waits and may_wait(document)), success)


def _named(document: Any) -> tuple[str, Any]:
    """Model name and input of a `run_named` body."""
    if not isinstance(document, dict):
        raise BadInput(f"Type mismatch of '/', '{'array' if isinstance(document, list) else 'scalar'}' not in 'object'")
    missing = [key for key in ("model", "input") if document.get(key) is None]
    if missing:
        raise BadInput(f"required properties at '/' are '{','.join(missing)}'")
    if not isinstance(document["model"], str):
        raise BadInput("Type mismatch of '/model', not in 'string'")
    return document["model"], document["input"]


def _spoken_to(chosen: Chosen) -> Chosen:
    """The choice, unless its form is for live sessions alone."""
    if chosen.task.is_live:
        raise BadInput("this model is spoken to over a WebSocket")
    return chosen


router = APIRouter(prefix="/accounts/{account_id}/ai", tags=["Workers AI"], route_class=RunRoute)
router.add_api_route("/run/{model_name:path}", run, methods=["POST"], summary="Run a model", openapi_extra=_RUN)
router.add_api_route(
    "/run", run_named, methods=["POST"], summary="Run a model named in the body", openapi_extra=_RUN_NAMED
)
