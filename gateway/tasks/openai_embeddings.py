"""Text embeddings in OpenAI's form: vectors as numbers or as base64 of little-endian float32 (docs/api.md)."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.errors import BadInput
from gateway.tasks.base import Task
from gateway.tasks.pieces import Usage
from gateway.tasks.text_embeddings import Embedded, EmbeddingsInput, Passages
from gateway.tasks.texts import Texts
from gateway.tasks.validation import Integer, Text, schema_error

MAX_DIMENSIONS = 65_536


def _refuse_tokens(value: Any) -> Any:
    """Token ids are those of OpenAI's own tokenizers, which mean other words to other models."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list) or (isinstance(first, int) and not isinstance(first, bool)):
        raise schema_error("must be a text or an array of texts: arrays of token ids are not accepted")
    return value


class EmbeddingObject(TypedDict):
    """One vector: an array of numbers, or base64."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(TypedDict):
    """Tokens by the model's own tokenizer."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    """All vectors, in the order of the texts."""

    object: str
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingsUsage


class ListOutput:
    """The rendered list, and the counts that metering reads."""

    def __init__(self, document: dict[str, Any], usage: Usage) -> None:
        self.document = document
        self.usage = usage


class OpenAiEmbeddingsInput(EmbeddingsInput):
    """One text or a list of them. `dimensions` keeps the first that many, scaled to length 1 again.

    `pooling` and `role`, which OpenAI does not have, are those of the model's own form unless the caller names others.
    """

    input: Annotated[Texts, BeforeValidator(_refuse_tokens)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[Integer, Field(ge=1, le=MAX_DIMENSIONS)] | None = None
    pooling: Literal["mean", "cls"] | None = None
    role: Literal["query", "document"] | None = None
    user: Text | None = Field(default=None, exclude=True)

    def passages(self) -> list[Passages]:
        """The texts."""
        return [Passages(self.input, self.role)]

    def how(self) -> Literal["mean", "cls"] | None:
        """As the caller wants."""
        return self.pooling

    @staticmethod
    def like(form: Task) -> dict[str, Any]:
        """The pooling and role that texts have in `form` of the task, for requests that name none."""
        if form is TASK:
            return {}
        plain: EmbeddingsInput = form.parse(form.canary)  # type: ignore[assignment]
        return {"pooling": plain.how(), "role": plain.passages()[0].role}

    def answer(self, embedded: Embedded) -> ListOutput:
        """The list; raises `BadInput` if more dimensions are wanted than there are."""
        vectors = self._resized(embedded)
        data = [
            {"object": "embedding", "index": index, "embedding": self._encoded(vector)}
            for index, vector in enumerate(vectors)
        ]
        tokens = embedded.usage.prompt_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return ListOutput({"object": "list", "data": data, "model": self.origin.model, "usage": usage}, embedded.usage)

    def _resized(self, embedded: Embedded) -> Any:
        known = embedded.shape[1]
        if self.dimensions is None or self.dimensions == known:
            return embedded.data
        if self.dimensions > known:
            raise BadInput(f"'/dimensions' must be <= {known}")
        cut = embedded.data[:, : self.dimensions]
        return cut / (cut * cut).sum(1, keepdims=True).clip(1e-24) ** 0.5

    def _encoded(self, vector: Any) -> Any:
        if self.encoding_format == "float":
            return vector
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()


TASK = Task(
    name="text-embeddings",
    title="Text Embeddings",
    input=OpenAiEmbeddingsInput,
    output=EmbeddingList,
    canary={"input": "a fine day"},
    shape="openai",
    render=lambda output: output.document,
)
