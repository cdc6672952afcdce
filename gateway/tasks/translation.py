"""Translation: a text and two languages in, the text in the other language out (docs/tasks/text.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.languages import M2M100, find_code
from gateway.tasks.pieces import Usage
from gateway.tasks.validation import Text, schema_error

_SHOWN = 8


def _code(language: str) -> str:
    code = find_code(language, M2M100)
    if code is None:
        shown = ", ".join(list(M2M100)[:_SHOWN])
        raise schema_error(f"must be one of {shown} and {len(M2M100) - _SHOWN} more, or the language's English name")
    return code


Language = Annotated[Text, AfterValidator(_code)]


class TranslationInput(TaskInput):
    """A text and the languages to translate it from and into, as ISO 639 codes."""

    text: Annotated[Text, Field(min_length=1)]
    target_lang: Language
    source_lang: Language = "en"

    def extent(self) -> Extent:
        """One row; a token is about four characters."""
        return Extent(1, 2 + len(self.text) // 4)


class TranslationOutput(BaseModel):
    """The translation."""

    translated_text: str
    usage: Usage | None = Field(default=None, exclude=True)


TASK = Task(
    name="translation",
    title="Translation",
    input=TranslationInput,
    output=TranslationOutput,
    canary={"text": "a fine day", "target_lang": "fr"},
    shape="m2m100",
    render=lambda output: {"translated_text": output.translated_text},
)
