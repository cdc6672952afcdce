"""The routes that OpenAI's clients ask, with bare answers (docs/api.md); knows no task's meaning and no process."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.api.answering import reply
from gateway.api.asking import parsed, read_document
from gateway.api.choosing import choose
from gateway.api.described import ACCOUNT
from gateway.api.routes import RunRoute
from gateway.errors import AnthropicUnsupported, BadInput
from gateway.runtime.model import Model
from gateway.tasks import TASKS, Answer, Task
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
    await choose(request, document["model"])
    raise AnthropicUnsupported(document["model"])


async def _answer(request: Request, form: Task) -> Response:
    document, size_bytes = await _document(request, form.max_body_bytes)
    chosen = await choose(request, document["model"])
    model = chosen.model
    if model.task.name != form.name:
        raise BadInput(f"'/model' must be a model for {form.title}: {model.spec.name} is for {model.task.title}")
    if form is EMBEDDINGS:
        document = _fitted(document, model)
    return await reply(request, chosen, await parsed(request, form, document, size_bytes), _bare)


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


def _described(form: Task, **more: Any) -> dict[str, Any]:
    """What the OpenAPI document says of a route for `form`."""
    named = {"allOf": [{"type": "object", "required": ["model"]}, input_schema(form)]}
    content = {"application/json": {"schema": named}}
    answers = {
        "200": {"description": "the answer, bare", "content": {"application/json": {"schema": output_schema(form)}}}
    }
    return {
        "parameters": [ACCOUNT],
        "requestBody": {"required": True, "content": content},
        "responses": answers,
        **more,
    }


router = APIRouter(prefix="/accounts/{account_id}/ai/v1", tags=["OpenAI"], route_class=RunRoute)
for _path, _post, _summary, _form in (
    ("/chat/completions", chat_completions, "Complete a chat", CHAT),
    ("/responses", responses, "Make a response", RESPONSES),
    ("/embeddings", embeddings, "Embed texts", EMBEDDINGS),
):
    router.add_api_route(_path, _post, methods=["POST"], summary=_summary, openapi_extra=_described(_form))
_refused = {"parameters": [ACCOUNT], "responses": {"400": {"description": "no model here speaks it"}}}
router.add_api_route("/messages", messages, methods=["POST"], summary="Refused", openapi_extra=_refused)
