"""Text embeddings: texts in, one vector each out (docs/api.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.tasks.base import Extent, Task, TaskInput, Usage
from gateway.tasks.validation import Text

MAX_TEXTS = 3000


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    list[Annotated[Text, Field(min_length=1)]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=MAX_TEXTS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MAX_TEXTS},
            ]
        }
    ),
]
Vectors = Annotated[Any, WithJsonSchema({"type": "array", "items": {"type": "array", "items": {"type": "number"}}})]


class TextEmbeddingsInput(TaskInput):
    """One text or a list of them; `pooling` is how token vectors become one."""

    text: Texts
    pooling: Literal["mean", "cls"] = "mean"

    def extent(self) -> Extent:
        """A row per text; a token is about four characters."""
        return Extent(len(self.text), 2 + max(map(len, self.text)) // 4)


class TextEmbeddingsOutput(BaseModel):
    """`data` is float32 of `shape` (texts, dimensions)."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    shape: list[int]
    data: Vectors
    pooling: Literal["mean", "cls"] = "mean"
    usage: Usage | None = Field(default=None, exclude=True)


TASK = Task(
    name="text-embeddings",
    title="Text Embeddings",
    input=TextEmbeddingsInput,
    output=TextEmbeddingsOutput,
    canary={"text": "a fine day"},
    shape="bge",
    render=lambda output: {"shape": output.shape, "data": output.data, "pooling": output.pooling},
)
