"""Translation: a text and two languages in, the text in the other language out (docs/tasks/text.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator, BaseModel, Field

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.cost import Cost, tokens_of
from gateway.tasks.languages import INDIC, M2M100, find_code
from gateway.tasks.pieces import Counted, Usage, counted
from gateway.tasks.texts import ListOfTexts, one_or_many
from gateway.tasks.validation import Text, schema_error

MAX_TEXTS = 100


def _code(language: str) -> str:
    code = find_code(language, M2M100)
    if code is None:
        raise schema_error(f"must be one of {', '.join(M2M100)}, or the language's English name")
    return code


Language = Annotated[Text, AfterValidator(_code)]


@dataclass(frozen=True, slots=True)
class Direction:
    """A language as the model's vocabulary writes it, and the field of the request that it comes from."""

    field: str
    code: str


@dataclass(slots=True)
class Translated:
    """The translations of an input's texts, in their order, and the tokens of all."""

    texts: list[str]
    usage: Usage


class Translatable(Protocol):
    """An input in any form: texts, the languages to translate from and into, and the answer in its own form.

    `codes` are those of all languages that the form has.
    """

    codes: ClassVar[Sequence[str]]

    def passages(self) -> list[str]:
        """The texts to translate."""

    def directions(self) -> tuple[Direction, Direction]:
        """The source and the target."""

    def answer(self, translated: Translated) -> Any:
        """The task's output."""


class TranslationInput(TaskInput):
    """A text and the languages to translate it from and into, as ISO 639 codes."""

    codes: ClassVar[Sequence[str]] = tuple(M2M100)
    text: Annotated[Text, Field(min_length=1)]
    target_lang: Language
    source_lang: Language = "en"

    def extent(self) -> Extent:
        """One row."""
        return Extent.of_text(len(self.text))

    def passages(self) -> list[str]:
        """The one text."""
        return [self.text]

    def directions(self) -> tuple[Direction, Direction]:
        """The source and the target, as ISO 639 codes."""
        return Direction("source_lang", self.source_lang), Direction("target_lang", self.target_lang)

    def answer(self, translated: Translated) -> TranslationOutput:
        """The one translation."""
        return TranslationOutput(translated_text=translated.texts[0], usage=translated.usage)


class TranslationOutput(BaseModel):
    """The translation."""

    translated_text: str
    usage: Counted | None = None


TASK = Task(
    name="translation",
    title="Translation",
    input=TranslationInput,
    output=TranslationOutput,
    canary={"text": "a fine day", "target_lang": "fr"},
    shape="m2m100",
    render=lambda output: counted({"translated_text": output.translated_text}, output.usage),
)


def _indic(code: str) -> str:
    if code not in INDIC:
        raise schema_error(f"must be one of {', '.join(INDIC)}")
    return code


class IndicInput(TaskInput):
    """English texts, one or a list, and the language to translate them into, as FLORES-200 writes it."""

    codes: ClassVar[Sequence[str]] = INDIC
    text: Annotated[ListOfTexts, Field(min_length=1, max_length=MAX_TEXTS), one_or_many(MAX_TEXTS)]
    target_language: Annotated[Text, AfterValidator(_indic), Field(json_schema_extra={"enum": INDIC})] = "hin_Deva"

    def extent(self) -> Extent:
        """A row for each text."""
        return Extent.of_text(max(map(len, self.text)), len(self.text))

    def cost(self) -> Cost:
        """The tokens of all texts."""
        return {"tokens": tokens_of(self.text)}

    def passages(self) -> list[str]:
        """All texts."""
        return self.text

    def directions(self) -> tuple[Direction, Direction]:
        """English and the target."""
        return Direction("text", "eng_Latn"), Direction("target_language", self.target_language)

    def answer(self, translated: Translated) -> IndicOutput:
        """All translations."""
        return IndicOutput(translations=translated.texts, usage=translated.usage)


class IndicOutput(BaseModel):
    """The translations, in the order of the texts."""

    translations: list[str]
    usage: Counted | None = None


INDIC_TRANS = Task(
    name="translation",
    title="Translation",
    input=IndicInput,
    output=IndicOutput,
    canary={"text": "a fine day", "target_language": "hin_Deva"},
    shape="indictrans2",
    render=lambda output: counted({"translations": output.translations}, output.usage),
)
