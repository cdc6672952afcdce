"""The catalogue's routes: models, their schemas, tasks and authors (docs/catalogue.md); runs no model."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api import openrouter
from gateway.api.described import add_read
from gateway.api.listing import author_document, model_document, task_document
from gateway.api.query import Query, author_of
from gateway.api.routes import ReadRoute
from gateway.api.state import state_of
from gateway.errors import BadInput
from gateway.tasks.base import JSON
from gateway.tasks.schema import input_schema, output_schema, with_batch_input, with_batch_output

_MODEL = {"name": "model", "in": "query", "required": True, "schema": {"type": "string"}}


async def search_models(request: Request) -> Response:
    """One page of the models that fit; the page after the last is empty. Raises `BadInput`."""
    state, query = state_of(request), Query.of(request.query_params)
    today = datetime.now(UTC).date()
    found = [model for model in state.registry if query.matches(model.spec, model.task.title, today)]
    if query.format == "openrouter":
        offered = [model for model in found if model.spec.task == openrouter.TASK]
        return _json({"data": [openrouter.offer_document(model) for model in query.slice(offered)]})
    pulled = await state.presence.names()
    result = [model_document(model, pulled) for model in query.slice(found)]
    info = {
        "count": len(result),
        "page": query.page,
        "per_page": query.per_page,
        "total_count": len(found),
        "total_pages": math.ceil(len(found) / query.per_page),
    }
    return _success(result, result_info=info)


async def schema(request: Request) -> Response:
    """The JSON Schemas of a model's input and output. Raises `BadInput` and `ModelNotFound`."""
    name = request.query_params.get("model")
    if not name:
        raise BadInput("required properties at '/' are 'model'")
    # Some clients escape a name that a library escapes once more; the server undoes one of the two.
    model = state_of(request).registry.get(unquote(name) if "%" in name else name)
    input, output = input_schema(model.task), output_schema(model.task)
    if model.spec.properties.async_queue:
        input, output = with_batch_input(input), with_batch_output(output)
    return _success({"input": input, "output": output})


async def search_tasks(request: Request) -> Response:
    """Every task that some model does, once."""
    titles = dict.fromkeys(model.task.title for model in state_of(request).registry)
    return _success([task_document(title) for title in titles])


async def search_authors(request: Request) -> Response:
    """Everyone who made some model, as its name tells, once."""
    names = {author_of(model.spec.name): model.spec.name for model in state_of(request).registry}
    return _success([author_document(name) for author, name in names.items() if author])


def _success(result: Any, **more: Any) -> Response:
    return _json({"result": result, "success": True, "errors": [], "messages": [], **more})


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type=JSON)


router = APIRouter(prefix="/accounts/{account_id}/ai", tags=["Catalogue"], route_class=ReadRoute)
add_read(router, "/models/search", search_models, "Search the models", Query.openapi())
add_read(router, "/models/schema", schema, "A model's input and output schemas", [_MODEL])
add_read(router, "/tasks/search", search_tasks, "List the tasks")
add_read(router, "/authors/search", search_authors, "List the models' authors")
