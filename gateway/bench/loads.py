"""What a model of each task is asked: realistic requests without end, in the task's own form; sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from gateway.bench.material import Material, in_base64
from gateway.bench.media import type_of
from gateway.config import ConfigError
from gateway.tasks import Task
from gateway.tasks.amounts import Amounts
from gateway.tasks.base import JSON
from gateway.tasks.drawing import Picture
from gateway.tasks.speech_recognition import TURBO
from gateway.tasks.text_to_speech import AuraInput

CONTEXTS = 10


@dataclass(frozen=True)
class Draft:
    """A request before it is bytes: JSON values, or a media file; and how much of what has a price is known of it."""

    content: dict[str, Any] | bytes
    amounts: Amounts = field(default_factory=Amounts)


@dataclass(frozen=True)
class Request:
    """A request as it goes over the wire."""

    body: bytes
    content_type: str
    amounts: Amounts


Write = Callable[[Task, Material, int], Draft]


@dataclass(frozen=True)
class Kind:
    """How models of a task are asked. With `is_slow`, an answer may take minutes on a CPU."""

    what: str
    write: Write
    is_slow: bool = False


@dataclass(frozen=True)
class Load:
    """Requests for one model, numbered; `streams` says that answers come as server-sent events."""

    form: Task
    what: str
    streams: bool
    is_slow: bool
    draft: Callable[[int], Draft]

    def request(self, number: int) -> Request:
        """Request number `number`, different from all others."""
        draft = self.draft(number)
        if isinstance(draft.content, bytes):
            return Request(draft.content, type_of(draft.content), draft.amounts)
        if _is_multipart(self.form):
            fields = {key: (None, value) for key, value in draft.content.items()}
            form = httpx.Request("POST", "http://form", files=fields)
            return Request(form.read(), form.headers["content-type"], draft.amounts)
        return Request(orjson.dumps(draft.content), JSON, draft.amounts)


def load_for(form: Task, material: Material) -> Load:
    """The load for models that are asked in this form; raises `ConfigError` if there is none."""
    kind = KINDS.get(form.name)
    if form.is_live or kind is None:
        why = "is spoken over WebSocket alone" if form.is_live else "has none"
        raise ConfigError(f"no load for {form.name} in the form {form.shape}, which {why}: measure another model")
    first = kind.write(form, material, 0).content
    streams = isinstance(first, dict) and bool(first.get("stream"))
    what = kind.what.format(max_tokens=material.max_tokens, sound="your clip" if material.audio else "sung vowels, 8 s")
    return Load(form, what, streams, kind.is_slow, lambda number: kind.write(form, material, number))


def _is_multipart(form: Task) -> bool:
    """Whether the fields of a drawing are to be sent as a form: FLUX.2 takes no other body."""
    return "multipart" in form.input.model_fields


def _chat(form: Task, material: Material, number: int) -> Draft:
    """Families without streams, such as safety models, judge a text; the others go on with a story."""
    text = material.prose.text(number, 3, 8)
    fields = form.input.model_fields
    if "stream" not in fields:
        return Draft({"messages": [{"role": "user", "content": text}]})
    story = f"{text}\n\nContinue this story at length, scene by scene."
    asked = {"messages": [{"role": "user", "content": story}], "max_tokens": material.max_tokens, "stream": True}
    return Draft(asked | ({"stream_options": {"include_usage": True}} if "stream_options" in fields else {}))


def _classify(form: Task, material: Material, number: int) -> Draft:
    return Draft({"text": material.prose.text(number, 1, 3)})


def _embed(form: Task, material: Material, number: int) -> Draft:
    return Draft({"text": material.prose.text(number, 1, 8)})


def _rank(form: Task, material: Material, number: int) -> Draft:
    first = number * (CONTEXTS + 1)
    contexts = [{"text": material.prose.text(first + at, 2, 4)} for at in range(1, CONTEXTS + 1)]
    return Draft({"query": material.prose.text(first), "contexts": contexts})


def _translate(form: Task, material: Material, number: int) -> Draft:
    text = {"text": material.prose.text(number, 1, 2)}
    if "target_language" in form.input.model_fields:
        return Draft(text | {"target_language": "hin_Deva"})
    return Draft(text | {"source_lang": "en", "target_lang": "fr"})


def _summarize(form: Task, material: Material, number: int) -> Draft:
    return Draft({"input_text": material.prose.text(number, 15, 25)})


def _hear(form: Task, material: Material, number: int) -> Draft:
    clip, seconds = material.sound(number)
    return Draft({"audio": in_base64(clip)} if form.shape == TURBO.shape else clip, Amounts(audio_s=seconds))


def _speak(form: Task, material: Material, number: int) -> Draft:
    text = material.prose.text(number, 1, 3)
    key = "text" if issubclass(form.input, AuraInput) else "prompt"
    return Draft({key: text}, Amounts(characters=len(text)))


def _look(form: Task, material: Material, number: int) -> Draft:
    return Draft(material.picture(number), Amounts(images=1))


def _describe(form: Task, material: Material, number: int) -> Draft:
    picture, tokens = material.picture(number), {"max_tokens": material.max_tokens}
    if "question" in form.input.model_fields:
        return Draft({"task": "caption", "image": in_base64(picture), **tokens})
    question = f"{material.prose.text(number)} What could that have to do with this picture?"
    return Draft({"image": list(picture), "prompt": question, **tokens})


def _join(form: Task, material: Material, number: int) -> Draft:
    return Draft({"image": in_base64(material.picture(number)), "text": [material.prose.text(number)]})


def _draw(form: Task, material: Material, number: int) -> Draft:
    prompt = material.prose.text(number)
    if _is_multipart(form):
        return Draft({"prompt": prompt}, Amounts(images=1))
    return Draft({"prompt": prompt}, form.measure(form.parse({"prompt": prompt}), Picture(b"")))


KINDS: Mapping[str, Kind] = {
    "text-generation": Kind("a story to go on with, at most {max_tokens} tokens", _chat),
    "text-classification": Kind("a text of 1 to 3 sentences", _classify),
    "text-embeddings": Kind("one text of 1 to 8 sentences", _embed),
    "reranking": Kind(f"a question and {CONTEXTS} texts of 2 to 4 sentences", _rank),
    "translation": Kind("1 or 2 English sentences", _translate),
    "summarization": Kind("a text of 15 to 25 sentences", _summarize),
    "automatic-speech-recognition": Kind("a clip ({sound})", _hear),
    "voice-activity-detection": Kind("a clip ({sound})", _hear),
    "text-to-speech": Kind("1 to 3 sentences to say", _speak),
    "image-classification": Kind("a picture of 512 by 512 pixels", _look),
    "object-detection": Kind("a picture of 512 by 512 pixels", _look),
    "image-to-text": Kind("a picture of 512 by 512 pixels, at most {max_tokens} tokens", _describe),
    "image-text-to-text": Kind("a picture of 512 by 512 pixels, at most {max_tokens} tokens", _describe),
    "multimodal-embeddings": Kind("a picture of 512 by 512 pixels and a sentence", _join),
    "text-to-image": Kind("a sentence to draw, the model's usual size and steps", _draw, is_slow=True),
}
