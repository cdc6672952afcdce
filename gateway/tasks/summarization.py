"""Summarization: a text in, a shorter one out (docs/tasks/text.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.pieces import Counted, counted
from gateway.tasks.validation import Integer, Text


class SummarizationInput(TaskInput):
    """A text, and the most tokens its summary may have; the model's own limit counts too."""

    input_text: Annotated[Text, Field(min_length=1)]
    max_length: Annotated[Integer, Field(ge=1)] = 1024

    def extent(self) -> Extent:
        """One row."""
        return Extent.of_text(len(self.input_text))


class SummarizationOutput(BaseModel):
    """The summary."""

    summary: str
    usage: Counted | None = None


TASK = Task(
    name="summarization",
    title="Summarization",
    input=SummarizationInput,
    output=SummarizationOutput,
    canary={"input_text": "a fine day", "max_length": 8},
    render=lambda output: counted({"summary": output.summary}, output.usage),
)
