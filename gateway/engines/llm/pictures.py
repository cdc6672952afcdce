"""The pictures of a request: where they stand among its words and the bytes of their files; decodes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from gateway.engines.llm.decoding import Prompt
from gateway.errors import BadInput
from gateway.tasks.content import ContentPart, Location
from gateway.tasks.conversation import Message
from gateway.tasks.generation import Generation
from gateway.tasks.image import MAX_PICTURES
from gateway.tasks.validation import decode_base64

# The types of content parts that hold pictures: OpenAI's and the ones that chat templates are written for.
_TYPES = ("image_url", "image", "input_image")
# Stands in a message for a picture of the request's own field: a caller's equal words are another object.
_OWN = Location(url="/image")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file and the field of the request that it came in."""

    data: bytes
    field: str


@runtime_checkable
class Sighted(Protocol):
    """A tokenizer whose model sees."""

    def encode_with_pictures(self, text: str, pictures: Sequence[Picture], *, add_special_tokens: bool) -> Prompt:
        """The prompt of a text that has a placeholder for each picture; one without any gets them in front.

        Raises `BadInput` naming the field of a picture that cannot be decoded, or if the placeholders are not as many
        as the pictures.
        """


def gathered(generation: Generation, tokenizer: Any) -> tuple[Generation, list[Picture]]:
    """The request with every picture a part of a message, and the pictures in the order of those parts.

    Those of the request's own `image` field come before the words of the user's last turn. Raises `BadInput` naming
    what is not a picture that may be taken, the bound on their number, or the first if the model cannot see.
    """
    own = [Picture(data, "/image") for data in generation.images]
    if own:
        shown = [ContentPart(type="image_url").model_copy(update={"image_url": _OWN}) for _ in own]
        generation = replace(generation, messages=with_own(generation, shown), images=())
    pictures = [
        own.pop(0) if part.image_url is _OWN else _picture(part, field) for field, part in _parts(generation.messages)
    ]
    if len(pictures) > MAX_PICTURES:
        raise BadInput(f"'/messages' must not have more than {MAX_PICTURES} pictures")
    if pictures and not isinstance(tokenizer, Sighted):
        raise BadInput(f"'{pictures[0].field}': this model does not take pictures")
    return generation, pictures


def encode(tokenizer: Any, text: str, pictures: Sequence[Picture], *, add_special_tokens: bool) -> Prompt:
    """The prompt of `text` and the pictures that `gathered` found."""
    if pictures and isinstance(tokenizer, Sighted):
        return tokenizer.encode_with_pictures(text, pictures, add_special_tokens=add_special_tokens)
    return Prompt(tokenizer.encode(text, add_special_tokens=add_special_tokens))


def content(message: Message, *, in_parts: bool) -> str | list[dict[str, str]]:
    """The message as chat templates take it: its text, or its parts if it has pictures or `in_parts` asks for them."""
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}] if in_parts else message.content
    if not in_parts and not any(_holds_picture(part) for part in message.content):
        return message.text()
    return [
        {"type": "image"} if _holds_picture(part) else {"type": "text", "text": part.text or ""}
        for part in message.content
        if not part.is_thought
    ]


def picture_bytes(url: str, field: str) -> bytes:
    """The file that a caller's `url` stands for, which has to be a data URI: nothing is fetched for a caller."""
    head, _, data = url.partition(",")
    if not url.startswith("data:"):
        raise BadInput(f"'{field}' must be a data URI (data:image/png;base64,...): no address is fetched")
    if not head.endswith(";base64"):
        raise BadInput(f"'{field}' must be a data URI in base64")
    try:
        return decode_base64(data)
    except ValueError:
        raise BadInput(f"'{field}' must be a data URI in base64") from None


def _holds_picture(part: ContentPart) -> bool:
    return part.image_url is not None or part.type in _TYPES


def _parts(messages: Sequence[Message]) -> Iterator[tuple[str, ContentPart]]:
    for index, message in enumerate(messages):
        for place, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if _holds_picture(part):
                yield f"/messages/{index}/content/{place}/image_url", part


def _picture(part: ContentPart, field: str) -> Picture:
    if part.image_url is None:
        raise BadInput(f"'{field}' is required in a part of type '{part.type[:20]}'")
    return Picture(picture_bytes(part.image_url.url, f"{field}/url"), f"{field}/url")


def with_own(generation: Generation, shown: Sequence[ContentPart]) -> tuple[Message, ...]:
    """What is said, with `shown` for the pictures of the request's own field before the words of the last user."""
    messages = list(generation.messages) or [Message(role="user", content=generation.prompt)]
    turns = [index for index, message in enumerate(messages) if message.role == "user"]
    at = turns[-1] if turns else len(messages) - 1
    said = messages[at].content
    parts = [ContentPart(type="text", text=said)] if isinstance(said, str) else said
    messages[at] = messages[at].model_copy(update={"content": [*shown, *parts]})
    return tuple(messages)
