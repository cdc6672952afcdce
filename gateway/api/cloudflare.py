"""The run route: one model, one input, one answer (docs/api.md); knows no task and no process."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from starlette.requests import HTTPConnection

from gateway.api.bodies import LARGE_BYTES, is_json, media_type, off_loop, query_of, read_body, to_input
from gateway.api.documents import decode_json
from gateway.api.envelope import success
from gateway.api.exchange import exchange_of
from gateway.api.routes import Route
from gateway.api.state import State, state_of
from gateway.api.streams import MediaStream, NativeStream, unless_disconnected
from gateway.errors import BadInput, RequestTooLarge
from gateway.runtime.model import Model
from gateway.tasks import TaskInput

_PATH_PARAMETERS = [
    {"name": "account_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}},
    {"name": "model_name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "@cf/vendor/model"},
]
_INPUT = {"schema": {"type": "object", "description": "the input of the model's task"}}
_MEDIA = {"schema": {"type": "string", "format": "binary", "description": "for tasks that take media"}}
_RUN = {
    "parameters": _PATH_PARAMETERS,
    "requestBody": {"required": True, "content": {"application/json": _INPUT, "application/octet-stream": _MEDIA}},
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
    model = _chosen(request, state, name)
    limit_bytes = min(state.settings.max_body_bytes, model.task.max_body_bytes)
    body = await read_body(request.headers, request.receive, limit_bytes)
    kind = media_type(request.headers)
    query = query_of(request.scope["query_string"]) if model.task.takes_query else None
    if len(body) > LARGE_BYTES:
        input = await off_loop(state.parsing, to_input, model.task, kind, body, query)
    else:
        input = to_input(model.task, kind, body, query)
    return await _answer(request, model, input)


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
    model = _chosen(request, state, name)
    if len(body) > model.task.max_body_bytes:
        raise RequestTooLarge(f"the body is larger than {model.task.max_body_bytes} bytes")
    if len(body) > LARGE_BYTES:
        return await _answer(request, model, await off_loop(state.parsing, model.task.parse, values))
    return await _answer(request, model, model.task.parse(values))


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


def _chosen(request: Request, state: State, name: str) -> Model:
    model = chosen(request, state, name)
    if model.task.is_live:
        raise BadInput("this model is spoken to over a WebSocket")
    return model


def chosen(request: HTTPConnection, state: State, name: str) -> Model:
    """The model of that name, noted in the request's exchange. Raises `ModelNotFound`."""
    # Some clients escape a name that a library escapes once more; the server undoes one of the two.
    model = state.registry.get(unquote(name) if "%" in name else name)
    exchange = exchange_of(request.scope)
    exchange.model, exchange.task = model.spec.name, model.spec.task
    return model


async def _answer(request: Request, model: Model, input: TaskInput) -> Response:
    request_id = exchange_of(request.scope).request_id
    if model.task.streams_media:
        return MediaStream(model.stream(input, request_id), model.spec.timeout_s)
    if model.task.collect is not None and getattr(input, "stream", False):
        return NativeStream(model.stream(input, request_id), model.spec.timeout_s)
    return success(await unless_disconnected(model.infer(input, request_id), request.receive))


router = APIRouter(prefix="/accounts/{account_id}/ai", tags=["Workers AI"], route_class=Route)
router.add_api_route("/run/{model_name:path}", run, methods=["POST"], summary="Run a model", openapi_extra=_RUN)
router.add_api_route(
    "/run", run_named, methods=["POST"], summary="Run a model named in the body", openapi_extra=_RUN_NAMED
)
