"""One text or a list of them, as several tasks take them; knows no task."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.tasks.validation import Text

MAX_TEXTS = 3000
Filled = Annotated[Text, Field(min_length=1)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def one_or_many(most: int, least_length: int = 1) -> WithJsonSchema:
    """The schema of a text or a list of one to `most`, of at least so many characters each."""
    text = {"type": "string", "minLength": least_length}
    return WithJsonSchema({"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": most}]})


ListOfTexts = Annotated[list[Filled], BeforeValidator(_as_list)]
Texts = Annotated[ListOfTexts, Field(min_length=1, max_length=MAX_TEXTS), one_or_many(MAX_TEXTS)]
# Some models' schemas have no bound for the length of a text: an empty one has a vector, too.
AnyTexts = Annotated[
    Annotated[list[Text], BeforeValidator(_as_list)],
    Field(min_length=1, max_length=MAX_TEXTS),
    one_or_many(MAX_TEXTS, 0),
]
