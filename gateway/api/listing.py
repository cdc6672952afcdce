"""Models, tasks and authors in the words of the live catalogue (docs/catalogue.md); knows no route."""

from __future__ import annotations

import uuid
from typing import Any

from gateway.api.query import author_of, source_of
from gateway.api.websocket import SESSIONS
from gateway.config import ModelSpec
from gateway.runtime.model import Model
from gateway.tasks import Task

# Tasks by name, with the ids that the live service has for its own, and what each does.
_TASKS = {
    "Text Generation": ("c329a1f9-323d-4e91-b2aa-582dd4188d34", "Writes text that continues a prompt or a chat."),
    "Text Embeddings": ("0137cdcf-162a-4108-94f2-1ca59e8c65ee", "Turns texts into vectors that are near if alike."),
    "Text Classification": ("19606750-23ed-4371-aab2-c20349b53a60", "Scores a text against labels or other texts."),
    "Automatic Speech Recognition": ("dfce1c48-2a81-462e-a7fd-de97ce985207", "Writes down what is said."),
    "Text-to-Speech": ("b52660a1-9a95-4ab2-8b1d-f232be34604a", "Speaks a text."),
    "Text-to-Image": ("3d6e1f35-341b-4915-a6c8-9a7142a9033a", "Draws what a text describes, or changes an image."),
    "Image Classification": ("00cd182b-bf30-4fc4-8481-84a3ab349657", "Names what an image shows."),
    "Object Detection": ("9c178979-90d9-49d8-9e2c-0f1cf01815d4", "Finds objects in an image, each with its box."),
    "Image-to-Text": ("882a91d1-c331-4eec-bdad-834c919942a8", "Describes an image, or answers questions on it."),
    "Translation": ("f57d07cb-9087-487a-bbbf-bc3e17fecc4b", "Says a text in another language."),
    "Summarization": ("6f4e65d8-da0f-40d2-9aa4-db582a5a04fd", "Says a text in fewer words."),
    "Image-Text-to-Text": ("", "Answers questions on an image."),
    "Multimodal Embeddings": ("", "Turns images and texts into vectors of one space."),
    "Dumb Pipe": ("ccb1ca5a-043d-41a7-8a3b-61017b2796fd", "Tells whether a speaker has finished."),
}


def model_document(model: Model, pulled: frozenset[str]) -> dict[str, Any]:
    """One item of `models/search`; `pulled` has the names of the models whose weights are on this machine."""
    spec = model.spec
    return {
        "id": _id_of("model", spec.name),
        "source": source_of(spec.name),
        "name": spec.name,
        "description": spec.description,
        "task": task_document(model.task.title),
        "created_at": f"{spec.created_at} 00:00:00.000" if spec.created_at else None,
        "tags": [],
        "properties": [
            {"property_id": name, "value": value}
            for name, value in (_facts(spec, model.task) | _condition(model, pulled)).items()
        ],
    }


def task_document(title: str) -> dict[str, str]:
    """One item of `tasks/search`."""
    known_id, description = _TASKS.get(title, ("", ""))
    return {"id": known_id or _id_of("task", title), "name": title, "description": description}


def author_document(name: str) -> dict[str, str]:
    """One item of `authors/search`, for the author of the model of that name."""
    author = author_of(name)
    return {"id": _id_of("author", author), "name": author}


def _id_of(kind: str, name: str) -> str:
    """The same on every machine and after every restart."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{name}"))


def _facts(spec: ModelSpec, task: Task) -> dict[str, Any]:
    """What the row says, in the live service's spelling: numbers and truths are texts, absent ones left out."""
    facts = {"context_window": spec.context_window, **spec.properties.model_dump(mode="json")}
    facts["lora"] = facts["lora"] or bool(spec.loras)
    facts["realtime"] = facts["realtime"] or (task.name, task.shape) in SESSIONS
    return {name: _spelt(value) for name, value in facts.items() if value}


def _spelt(value: Any) -> Any:
    if isinstance(value, bool):
        return "true"
    return str(value) if isinstance(value, int) else value


def _condition(model: Model, pulled: frozenset[str]) -> dict[str, str]:
    """How the model is here and now, which only this gateway tells."""
    status = model.status()
    condition = {"gateway_state": str(status["state"])}
    if model.spec.source is not None:
        condition["gateway_pulled"] = "true" if model.spec.name in pulled else "false"
    if status["device"] is not None:
        condition["gateway_device"] = str(status["device"])
    return condition
