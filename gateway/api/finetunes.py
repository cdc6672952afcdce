"""The routes that list fine-tunes: the LoRA adapters that rows of models.yaml name; nothing is uploaded here."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.api.described import add_read
from gateway.api.routes import ReadRoute
from gateway.api.state import State, state_of
from gateway.config import ModelSpec
from gateway.tasks.base import JSON
from gateway.tasks.finetunes import finetune_id
from gateway.tasks.validation import to_error


class Query(BaseModel):
    """The parameters of the list in parts, by the contract's names."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    limit: int = Field(1000, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000_000)
    order: Literal["name", "model", "created_at", "modified_at"] = Field("name", alias="orderBy")


async def list_all(request: Request) -> Response:
    """Every adapter of every model."""
    return _success(_documents(state_of(request)))


async def list_public(request: Request) -> Response:
    """The same, in parts; raises `BadInput`."""
    try:
        query = Query.model_validate({key: value for key, value in request.query_params.items() if value})
    except ValidationError as error:
        raise to_error(error) from None
    documents = sorted(_documents(state_of(request)), key=lambda document: str(document[query.order]))
    return _success(documents[query.offset : query.offset + query.limit])


def _documents(state: State) -> list[dict[str, Any]]:
    return [_document(model.spec, name) for model in state.registry for name in model.spec.loras]


def _document(spec: ModelSpec, name: str) -> dict[str, Any]:
    since = f"{spec.created_at} 00:00:00.000" if spec.created_at else None
    return {
        "id": finetune_id(name),
        "model": spec.name,
        "name": name,
        "description": f"LoRA adapter of {spec.name}",
        "public": True,
        "created_at": since,
        "modified_at": since,
    }


def _success(result: list[dict[str, Any]]) -> Response:
    return Response(orjson.dumps({"result": result, "success": True, "errors": [], "messages": []}), media_type=JSON)


router = APIRouter(prefix="/accounts/{account_id}/ai", tags=["Fine-tunes"], route_class=ReadRoute)
_IN_QUERY = [
    {"name": name, "in": "query", "schema": schema} for name, schema in Query.model_json_schema()["properties"].items()
]
add_read(router, "/finetunes", list_all, "List the fine-tunes")
add_read(router, "/finetunes/public", list_public, "List the fine-tunes in parts", _IN_QUERY)
