"""Text classification: one text in, every label with its score out (docs/api.md)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, PrivateAttr, RootModel

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.pieces import Usage
from gateway.tasks.validation import Text


class TextClassificationInput(TaskInput):
    """A text of at least one character."""

    text: Annotated[Text, Field(min_length=1)]

    def extent(self) -> Extent:
        """One row."""
        return Extent.of_text(len(self.text))


class Label(BaseModel):
    """A class and its probability."""

    label: str
    score: float


class TextClassificationOutput(RootModel[list[Label]]):
    """All labels of the model, in the model's order; with the tokens of the text, if an engine counts them."""

    _usage: Usage | None = PrivateAttr(None)

    @property
    def usage(self) -> Usage | None:
        """What the text took."""
        return self._usage

    def counted(self, usage: Usage) -> Self:
        """This output, for a text that took so much."""
        self._usage = usage
        return self


TASK = Task(
    name="text-classification",
    title="Text Classification",
    input=TextClassificationInput,
    output=TextClassificationOutput,
    canary={"text": "a fine day"},
    render=lambda output: output.root,
)
