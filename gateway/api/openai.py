"""The routes that OpenAI's clients ask, with bare answers (docs/api.md); knows no task's meaning and no process."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api.answering import origin_of, parsed, read_document, reply
from gateway.api.query import author_of
from gateway.api.routes import Route
from gateway.api.state import state_of
from gateway.errors import AnthropicUnsupported, BadInput, MethodNotAllowed
from gateway.runtime.model import Model
from gateway.tasks import TASKS, Answer, Task
from gateway.tasks.base import JSON
from gateway.tasks.openai_embeddings import OpenAiEmbeddingsInput
from gateway.tasks.schema import input_schema, output_schema

CHAT = TASKS.get("text-generation", "chat-completion")
RESPONSES = TASKS.get("text-generation", "responses")
EMBEDDINGS = TASKS.get("text-embeddings", "openai")
# The forms whose models were trained so that the first dimensions of a vector are a vector too.
RESIZABLE = frozenset({"embeddinggemma", "qwen3-embedding"})


async def chat_completions(request: Request) -> Response:
    """A chat completion, by any model that generates text. Raises `GatewayError`."""
    return await _answer(request, CHAT)


async def responses(request: Request) -> Response:
    """A response, by any model that generates text. Raises `GatewayError`."""
    return await _answer(request, RESPONSES)


async def embeddings(request: Request) -> Response:
    """Vectors, by any model that embeds text. Raises `GatewayError`."""
    return await _answer(request, EMBEDDINGS)


async def messages(request: Request) -> Response:
    """Anthropic's Messages API, which no model here has. Raises `AnthropicUnsupported`."""
    document, _ = await _document(request, CHAT.max_body_bytes)
    origin_of(request, document["model"])
    raise AnthropicUnsupported(document["model"])


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


async def _answer(request: Request, form: Task) -> Response:
    document, size_bytes = await _document(request, form.max_body_bytes)
    origin, model = origin_of(request, document["model"])
    if model.task.name != form.name:
        raise BadInput(f"'/model' must be a model for {form.title}: {model.spec.name} is for {model.task.title}")
    if form is EMBEDDINGS:
        document = _fitted(document, model)
    return await reply(request, model, await parsed(request, form, document, size_bytes), origin, _bare)


async def _document(request: Request, limit_bytes: int) -> tuple[dict[str, Any], int]:
    """The body's object, which names a model, and its size; raises `BadInput`."""
    document, size_bytes = await read_document(request, limit_bytes)
    if not isinstance(document, dict):
        raise BadInput("Type mismatch of '/', not in 'object'")
    if document.get("model") is None:
        raise BadInput("required properties at '/' are 'model'")
    if not isinstance(document["model"], str):
        raise BadInput("Type mismatch of '/model', not in 'string'")
    return document, size_bytes


def _fitted(document: dict[str, Any], model: Model) -> dict[str, Any]:
    """The document with what the row's own form has by default, so that all routes give the same vectors.

    Raises `BadInput` for `dimensions` that the model was not trained to be cut to.
    """
    wanted = document.get("dimensions")
    if wanted not in (None, model.spec.properties.output_dimensions) and model.task.shape not in RESIZABLE:
        raise BadInput(f"'/dimensions' cannot be chosen for {model.spec.name}")
    own = OpenAiEmbeddingsInput.like(model.task)
    return {**document, **{key: value for key, value in own.items() if document.get(key) is None}}


def _bare(answer: Answer) -> Response:
    return Response(answer.body, media_type=answer.media_type)


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type=JSON)


_ACCOUNT = {
    "name": "account_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_NAME = {"name": "model_name", "in": "path", "required": True, "schema": {"type": "string"}}


def _described(form: Task, **more: Any) -> dict[str, Any]:
    """What the OpenAPI document says of a route for `form`."""
    named = {"allOf": [{"type": "object", "required": ["model"]}, input_schema(form)]}
    content = {"application/json": {"schema": named}}
    answers = {
        "200": {"description": "the answer, bare", "content": {"application/json": {"schema": output_schema(form)}}}
    }
    return {
        "parameters": [_ACCOUNT],
        "requestBody": {"required": True, "content": content},
        "responses": answers,
        **more,
    }


router = APIRouter(prefix="/accounts/{account_id}/ai/v1", tags=["OpenAI"], route_class=Route)
for _path, _post, _summary, _form in (
    ("/chat/completions", chat_completions, "Complete a chat", CHAT),
    ("/responses", responses, "Make a response", RESPONSES),
    ("/embeddings", embeddings, "Embed texts", EMBEDDINGS),
):
    router.add_api_route(_path, _post, methods=["POST"], summary=_summary, openapi_extra=_described(_form))
_refused = {"parameters": [_ACCOUNT], "responses": {"400": {"description": "no model here speaks it"}}}
router.add_api_route("/messages", messages, methods=["POST"], summary="Refused", openapi_extra=_refused)
router.add_api_route(
    "/models", list_models, methods=["GET"], summary="List the models", openapi_extra={"parameters": [_ACCOUNT]}
)
router.add_api_route(
    "/models/{model_name:path}",
    retrieve_model,
    methods=["GET"],
    summary="One model",
    openapi_extra={"parameters": [_ACCOUNT, _NAME]},
)
