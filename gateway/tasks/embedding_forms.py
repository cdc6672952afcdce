"""Text embeddings in the forms of bge-m3, EmbeddingGemma, PLaMo and Qwen3-Embedding (docs/tasks/text.md)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.tasks.pieces import Counted
from gateway.tasks.reranking import Contexts, Query, Ranking, best_first
from gateway.tasks.text_embeddings import (
    Embedded,
    EmbeddingsInput,
    Passages,
    Pooling,
    TextEmbeddingsOutput,
    Vectors,
    VectorsOutput,
    task,
)
from gateway.tasks.texts import AnyTexts, Texts
from gateway.tasks.validation import Boolean, Text, schema_error


class ContextsOutput(BaseModel):
    """The vectors of contexts; as `TextEmbeddingsOutput`, under another name."""

    response: Vectors
    shape: list[int]
    pooling: Pooling
    usage: Counted | None = None


class BgeM3Input(EmbeddingsInput):
    """`contexts` to rank for a `query` or, without one, to embed; or `text` to embed. Contexts count before texts."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["contexts"]}, {"required": ["text"]}]})

    query: Query | None = None
    contexts: Contexts | None = None
    text: Texts | None = None
    truncate_inputs: Boolean = False

    @model_validator(mode="after")
    def _one_of(self) -> BgeM3Input:
        _need_one_of(self, "contexts", "text")
        return self

    def passages(self) -> list[Passages]:
        """The query, if it counts, and then the contexts; or the texts."""
        if self.contexts is None:
            return [Passages(self.text or [])]
        query = [] if self.query is None else [Passages([self.query], "query")]
        return [*query, Passages([context.text for context in self.contexts], "document")]

    def is_strict(self) -> bool:
        """Unless the caller says otherwise."""
        return not self.truncate_inputs

    def answer(self, embedded: Embedded) -> Any:
        """Scores are the cosines of query and contexts, best first."""
        if self.contexts is None:
            return TextEmbeddingsOutput(shape=embedded.shape, **embedded.__dict__)
        if self.query is not None:
            return Ranking(response=best_first(_cosines(embedded.data)), usage=embedded.usage)
        return ContextsOutput(
            response=embedded.data, shape=embedded.shape, pooling=embedded.pooling, usage=embedded.usage
        )


class TextsInput(EmbeddingsInput):
    """One text or a list of them; they may be empty."""

    text: AnyTexts

    def passages(self) -> list[Passages]:
        """The texts."""
        return [Passages(self.text)]


class Qwen3Input(EmbeddingsInput):
    """Queries, documents, or `text`, which means documents; `instruction` says in one sentence what queries are for."""

    queries: Texts | None = None
    documents: Texts | None = None
    text: Texts | None = None
    instruction: Annotated[Text, Field(min_length=1, max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Qwen3Input:
        _need_one_of(self, "text", "queries", "documents")
        return self

    def passages(self) -> list[Passages]:
        """Queries, documents and texts, in this order; the prompt's wording is the model card's."""
        prompt = None if self.instruction is None else f"Instruct: {self.instruction}\nQuery:"
        kinds = [
            Passages(self.queries or [], "query", prompt),
            Passages(self.documents or [], "document"),
            Passages(self.text or [], "document"),
        ]
        return [passages for passages in kinds if passages.texts]


def _need_one_of(input: EmbeddingsInput, *names: str) -> None:
    """Raise the error of the contract's anyOf if `input` has none of the fields."""
    if all(getattr(input, name) is None for name in names):
        missing = ", ".join(f"required properties at '/' are '{name}'" for name in names)
        raise schema_error(f"anyOf at '/' not met, 0 matches: {missing}")


def _cosines(vectors: Any) -> list[float]:
    """Of the first row with each other one."""
    lengths = (vectors * vectors).sum(1) ** 0.5
    cosines: list[float] = (vectors[1:] @ vectors[0] / (lengths[1:] * lengths[0])).tolist()
    return cosines


BGE_M3 = task(
    "bge-m3",
    BgeM3Input,
    Ranking | ContextsOutput | TextEmbeddingsOutput,
    *("response", "shape", "data", "pooling"),
)
EMBEDDING_GEMMA = task("embeddinggemma", TextsInput, VectorsOutput, "shape", "data")
PLAMO = task("plamo-embedding", TextsInput, VectorsOutput, "data", "shape")
QWEN3 = task("qwen3-embedding", Qwen3Input, VectorsOutput, "data", "shape")
