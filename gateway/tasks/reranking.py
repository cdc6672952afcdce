"""Reranking: a query and contexts in, the contexts' indices with their scores out, best first (docs/tasks/text.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.cost import CHARACTERS_PER_TOKEN, Cost, tokens_of
from gateway.tasks.pieces import Counted, counted
from gateway.tasks.validation import Integer, Text

MAX_CONTEXTS = 3000


class Context(BaseModel):
    """A text to be judged."""

    model_config = ConfigDict(frozen=True)

    text: Annotated[Text, Field(min_length=1)]


Contexts = Annotated[list[Context], Field(min_length=1, max_length=MAX_CONTEXTS)]
Query = Annotated[Text, Field(min_length=1)]


class RerankingInput(TaskInput):
    """A query, the contexts to rank for it, and how many of the best to give (all of them by default)."""

    query: Query
    contexts: Contexts
    top_k: Annotated[Integer, Field(ge=1)] | None = None

    def extent(self) -> Extent:
        """A row per context, each with the query in front."""
        longest = max(len(context.text) for context in self.contexts)
        return Extent(len(self.contexts), 4 + (len(self.query) + longest) // CHARACTERS_PER_TOKEN)

    def cost(self) -> Cost:
        """The tokens of all contexts, each with the query in front."""
        query = tokens_of([self.query])
        return {"tokens": query * len(self.contexts) + tokens_of(context.text for context in self.contexts)}


class Ranked(BaseModel):
    """A context by its index in the request, and its score."""

    id: int
    score: float


class Ranking(BaseModel):
    """Contexts, best first."""

    response: list[Ranked]
    usage: Counted | None = None


def best_first(scores: Sequence[float], top_k: int | None = None) -> list[Ranked]:
    """The `top_k` best of `scores` (all of them by default), equal ones in their order."""
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return [Ranked(id=index, score=scores[index]) for index in order[:top_k]]


TASK = Task(
    name="reranking",
    title="Text Classification",
    input=RerankingInput,
    output=Ranking,
    canary={"query": "weather", "contexts": [{"text": "a fine day"}]},
    render=lambda output: counted({"response": output.response}, output.usage),
)
