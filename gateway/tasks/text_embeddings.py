"""Text embeddings: texts in, one vector each out (docs/api.md)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, WithJsonSchema

from gateway.tasks.base import Extent, Task, TaskInput
from gateway.tasks.cost import Cost, tokens_of
from gateway.tasks.pieces import Counted, Usage, counted
from gateway.tasks.texts import Texts

Vectors = Annotated[Any, WithJsonSchema({"type": "array", "items": {"type": "array", "items": {"type": "number"}}})]
Pooling = Literal["mean", "cls", "lasttoken"]


@dataclass(frozen=True, slots=True)
class Passages:
    """Texts to embed with `prompt` in front of each; absent, the model's own prompt for texts of that role."""

    texts: Sequence[str]
    role: Literal["query", "document"] | None = None
    prompt: str | None = None


class Embedded(BaseModel):
    """What an engine made of an input: float32 `data` of shape (texts, dimensions), in the order of its passages."""

    data: Vectors
    pooling: Pooling
    usage: Usage

    @property
    def shape(self) -> list[int]:
        """Texts and dimensions."""
        return [len(self.data), len(self.data[0])]


class VectorsOutput(BaseModel):
    """`data` is float32 of `shape` (texts, dimensions)."""

    shape: list[int]
    data: Vectors
    usage: Counted | None = None


class TextEmbeddingsOutput(VectorsOutput):
    """Vectors, and how those of tokens became one."""

    pooling: Pooling = "mean"


class EmbeddingsInput(TaskInput):
    """What every input form tells an engine, and how the form answers."""

    @abstractmethod
    def passages(self) -> list[Passages]:
        """All texts, in the order of the vectors."""

    def how(self) -> Pooling | None:
        """How token vectors become one; None leaves it to the model."""
        return None

    def is_strict(self) -> bool:
        """Whether a text beyond the model's window is an error rather than cut."""
        return False

    def answer(self, embedded: Embedded) -> Any:
        """The output of this form."""
        return VectorsOutput(shape=embedded.shape, data=embedded.data, usage=embedded.usage)

    def extent(self) -> Extent:
        """A row per text."""
        characters = [len(passages.prompt or "") + len(text) for passages in self.passages() for text in passages.texts]
        return Extent.of_text(max(characters), len(characters))

    def cost(self) -> Cost:
        """The tokens of all texts, each with its prompt."""
        kinds = [(len(passages.texts), passages.prompt or "", passages.texts) for passages in self.passages()]
        return {"tokens": sum(count * len(prompt) // 4 + tokens_of(texts) for count, prompt, texts in kinds)}


class TextEmbeddingsInput(EmbeddingsInput):
    """One text or a list of them; `pooling` is how token vectors become one."""

    text: Texts
    pooling: Literal["mean", "cls"] = "mean"

    def passages(self) -> list[Passages]:
        """The texts."""
        return [Passages(self.text)]

    def how(self) -> Pooling:
        """As the caller wants."""
        return self.pooling

    def answer(self, embedded: Embedded) -> TextEmbeddingsOutput:
        """With the pooling."""
        return TextEmbeddingsOutput(shape=embedded.shape, **embedded.__dict__)


def task(shape: str, input: type[EmbeddingsInput], output: Any, *fields: str) -> Task:
    """The form `shape` of the task; its answer has those `fields` of the output that are there, and the usage."""

    def render(output: Any) -> dict[str, Any]:
        values = {name: value for name in fields if (value := getattr(output, name, None)) is not None}
        return counted(values, output.usage)

    return Task(
        name="text-embeddings",
        title="Text Embeddings",
        input=input,
        output=output,
        canary={"text": "a fine day"},
        shape=shape,
        render=render,
    )


TASK = task("bge", TextEmbeddingsInput, TextEmbeddingsOutput, "shape", "data", "pooling")
