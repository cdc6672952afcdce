"""The list of models that OpenAI's clients ask for, where the operator wants it (docs/api.md); runs no model."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api.described import add_read
from gateway.api.query import author_of
from gateway.api.routes import ReadRoute
from gateway.api.state import state_of
from gateway.errors import MethodNotAllowed
from gateway.runtime.model import Model
from gateway.tasks.base import JSON


async def list_models(request: Request) -> Response:
    """Every model, if the operator wants the route. Raises `MethodNotAllowed`, as Cloudflare does."""
    _need_listing(request)
    items = [_model_object(model) for model in state_of(request).registry]
    return _json({"object": "list", "data": items})


async def retrieve_model(request: Request) -> Response:
    """One model, if the operator wants the route. Raises `MethodNotAllowed` and `ModelNotFound`."""
    _need_listing(request)
    return _json(_model_object(state_of(request).registry.get(request.path_params["model_name"])))


def _need_listing(request: Request) -> None:
    if not state_of(request).settings.openai_models:
        raise MethodNotAllowed(request.method)


def _model_object(model: Model) -> dict[str, Any]:
    day = model.spec.created_at
    created = int(datetime.combine(day, time(), UTC).timestamp()) if day is not None else 0
    return {"id": model.spec.name, "object": "model", "created": created, "owned_by": author_of(model.spec.name)}


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type=JSON)


_NAME = {"name": "model_name", "in": "path", "required": True, "schema": {"type": "string"}}

router = APIRouter(prefix="/accounts/{account_id}/ai/v1", tags=["OpenAI"], route_class=ReadRoute)
add_read(router, "/models", list_models, "List the models")
add_read(router, "/models/{model_name:path}", retrieve_model, "One model", [_NAME])
