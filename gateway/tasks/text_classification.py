"""Text classification: one text in, every label with its score out (docs/api.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, RootModel

from gateway.tasks.base import Extent, Task, TaskInput
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
    """All labels of the model, in the model's order."""


TASK = Task(
    name="text-classification",
    title="Text Classification",
    input=TextClassificationInput,
    output=TextClassificationOutput,
    canary={"text": "a fine day"},
    render=lambda output: output.root,
)
