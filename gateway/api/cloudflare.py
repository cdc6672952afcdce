"""The run route: one model, one input, one answer (docs/api.md); knows no task and no process."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response

from gateway.api import batches
from gateway.api.bodies import LARGE_BYTES, is_json, media_type, off_loop, query_of, read_body, to_input
from gateway.api.choosing import Chosen, choose
from gateway.api.documents import decode_json
from gateway.api.envelope import success
from gateway.api.routes import Route
from gateway.api.state import state_of
from gateway.api.streams import MediaStream, NativeStream, unless_disconnected
from gateway.errors import BadInput, RequestTooLarge
from gateway.tasks import TaskInput

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
    state = state_of(request)
    name = request.path_params["model_name"]
    # Some clients escape a name that a library escapes once more; the server undoes one of the two.
    chosen = _spoken_to(await choose(request, unquote(name) if "%" in name else name))
    limit_bytes = min(state.settings.max_body_bytes, chosen.task.max_body_bytes)
    body = await read_body(request.headers, request.receive, limit_bytes)
    if batches.may_be_batch(request, body) and (answer := await batches.answer(request, chosen, body)) is not None:
        return answer
    query = query_of(request.scope["query_string"]) if chosen.task.takes_query else None
    if len(body) > LARGE_BYTES:
        input = await off_loop(state.parsing, to_input, chosen.task, request.headers, body, query)
    else:
        input = to_input(chosen.task, request.headers, body, query)
    return await _answer(request, chosen, input)


async def run_named(request: Request) -> Response:
    """Run the model named in the body, `{"model": …, "input": …}`. Raises `GatewayError`."""
    state = state_of(request)
    limit_bytes = min(state.settings.max_body_bytes, max((m.task.max_body_bytes for m in state.registry), default=0))
    body = await read_body(request.headers, request.receive, limit_bytes)
    if not is_json(media_type(request.headers), body):
        raise BadInput("Type mismatch of '/', 'binary' not in 'object'")
    if len(body) > LARGE_BYTES:
        document = await off_loop(state.parsing, decode_json, body)
    else:
        document = decode_json(body)
    name, values = _named(document)
    chosen = _spoken_to(await choose(request, name))
    task = chosen.task
    if len(body) > task.max_body_bytes:
        raise RequestTooLarge(f"the body is larger than {task.max_body_bytes} bytes")
    if len(body) > LARGE_BYTES:
        return await _answer(request, chosen, await off_loop(state.parsing, task.parse, values))
    return await _answer(request, chosen, task.parse(values))


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


async def _answer(request: Request, chosen: Chosen, input: TaskInput) -> Response:
    model, task, origin = chosen.model, chosen.task, chosen.origin
    if task.streams_media:
        return MediaStream(model.stream(input, origin, task), model.spec.timeout_s)
    if task.collect is not None and getattr(input, "stream", False):
        return NativeStream(model.stream(input, origin, task), model.spec.timeout_s)
    return success(await unless_disconnected(model.infer(input, origin, task), request.receive))


router = APIRouter(prefix="/accounts/{account_id}/ai", tags=["Workers AI"], route_class=Route)
router.add_api_route("/run/{model_name:path}", run, methods=["POST"], summary="Run a model", openapi_extra=_RUN)
router.add_api_route(
    "/run", run_named, methods=["POST"], summary="Run a model named in the body", openapi_extra=_RUN_NAMED
)
