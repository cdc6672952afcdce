"""What a message says: a text, or parts that are texts and pictures; knows no message and no model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from gateway.tasks.validation import Text, schema_error

_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
_TEXTS = ("text", "input_text", "output_text", "refusal")
_PART_TYPES = frozenset({*_TEXTS, "image_url", "image", "input_image", *_THOUGHTS})


class Location(BaseModel):
    """Where a picture is: a data URI, or an address."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    url: Annotated[Text, Field(min_length=1)]


def _as_location(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _known_type(value: str) -> str:
    if value not in _PART_TYPES:
        raise schema_error("must be 'text' or 'image_url'")
    return value


class ContentPart(BaseModel):
    """A part of a message: a text, a picture, or thoughts that a client kept, which are passed over.

    A part of any other type is refused: a model that never gets the sound or the file would answer all the same.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Annotated[Text, AfterValidator(_known_type)] = "text"
    text: Text | None = None
    image_url: Annotated[Location, BeforeValidator(_as_location)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_refusal(cls, value: Any) -> Any:
        """A refusal is what the model said instead of an answer."""
        if isinstance(value, dict) and value.get("type") == "refusal" and value.get("text") is None:
            return {**value, "text": value.get("refusal")}
        return value

    @model_validator(mode="after")
    def _has_text(self) -> ContentPart:
        """An object of something else, as some clients give a tool's result, would be an empty text."""
        if self.type in _TEXTS and self.text is None and self.image_url is None:
            raise schema_error("'text' is required in a part of type 'text'")
        return self

    @property
    def is_thought(self) -> bool:
        """Whether no model is shown it."""
        return self.type in _THOUGHTS


def as_parts(value: Any) -> Any:
    """A single part stands for a list of one, and null for the empty string, as clients send both.

    The service's schema lets one part have a picture and a text; these are two.
    """
    if value is None:
        return ""
    parts = [value] if isinstance(value, dict) else value
    if not isinstance(parts, list) or not any(map(_is_both, parts)):
        return parts
    return [half for part in parts for half in (_halves(part) if _is_both(part) else (part,))]


def _is_both(part: Any) -> bool:
    return isinstance(part, dict) and bool(part.get("text")) and part.get("image_url") is not None


def _halves(part: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {**part, "type": "image_url", "text": None}, {"type": "text", "text": part["text"]}


def _content_kind(value: Any) -> str:
    return "<array>" if isinstance(value, list) else "<string>"


Content = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[ContentPart], Tag("<array>")], Discriminator(_content_kind)
]
