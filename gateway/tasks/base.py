"""What a task is: its input and output, how bodies become inputs and outputs become answers; knows no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError, model_validator
from typing_extensions import TypedDict  # pydantic reads the standard library's only from Python 3.12 on

from gateway.config import MIB
from gateway.errors import BadInput, GatewayError
from gateway.tasks.validation import to_error

JSON = "application/json"


class TaskInput(BaseModel):
    """One validated request. Unknown keys are dropped and a null counts as absent, as official clients send both."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data

    def extent(self) -> Extent:
        """How much work this is, for batching: rows and the longest row, in tokens, seconds or pixels, roughly."""
        return Extent(1, 1)


@dataclass(frozen=True, slots=True)
class Extent:
    """The rectangle an input fills in a padded batch."""

    rows: int
    length: int


class PromptDetails(TypedDict):
    """Of the prompt's tokens, those whose work was already done."""

    cached_tokens: int


class TokenCounts(TypedDict):
    """The `usage` object of the contract, section B1."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


@dataclass(slots=True)
class Usage:
    """Tokens of one answer, by the model's own tokenizer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def as_dict(self) -> TokenCounts:
        """As a caller sees it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


Counted = Annotated[Usage, PlainSerializer(Usage.as_dict)]


@dataclass(slots=True)
class Piece:
    """One increment of a streamed answer. The last one has a `finish_reason` and the whole `usage`."""

    text: str = ""
    data: bytes = b""
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Answer:
    """A finished answer. `body` is the JSON of `result` if `media_type` is JSON, else the media itself."""

    body: bytes
    media_type: str = JSON
    usage: Usage | None = None


def _default(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.__dict__
    raise TypeError(f"not serialisable: {type(value).__name__}")


def to_json(value: Any) -> bytes:
    """JSON of plain values, pydantic models and numpy arrays (float32 keeps its shortest digits)."""
    return orjson.dumps(value, default=_default, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_SUBCLASS)


@dataclass(frozen=True)
class Task:
    """One request and answer form of one task.

    `render` turns what an engine returned into the contract's `result` (or an `Answer`, for raw media);
    `collect` joins the pieces of a streaming engine into the engine output, for callers that do not stream.
    With `takes_query`, what a body does not say is taken from the query parameters: a raw body says nothing else.
    `is_live` says that the form is spoken over WebSocket alone, `streams_media` that its media is sent while it is
    being made; the first piece of it says in `extra` which `media_type` it has.
    """

    name: str
    title: str
    input: type[TaskInput]
    output: Any
    canary: dict[str, Any]
    shape: str = "default"
    media_field: str | None = None
    render: Callable[[Any], Any] = lambda output: output
    collect: Callable[[Sequence[Piece]], Any] | None = None
    max_body_bytes: int = 10 * MIB
    takes_query: bool = False
    is_live: bool = False
    streams_media: bool = False

    def parse(self, data: Any, query: Mapping[str, Any] | None = None) -> TaskInput:
        """The input that `data`, decoded JSON or a mapping, describes; raises `BadInput` or `BadBase64`.

        `query` holds texts, and lists of texts for repeated parameters, under what `data` holds.
        """
        if query and isinstance(data, Mapping):
            data = {**query, **data}
        try:
            return self.input.model_validate(data)
        except ValidationError as error:
            raise to_error(error) from None
        except RecursionError:
            raise BadInput("'/' is nested too deeply") from None

    def parse_raw(self, data: bytes, query: Mapping[str, Any] | None = None) -> TaskInput:
        """The input that a body of raw media bytes describes; raises `BadInput` if the task takes none."""
        if self.media_field is None:
            return self.parse(None)
        return self.parse({self.media_field: data}, query)

    def encode(self, output: Any) -> Answer:
        """The answer for one engine output; the usage is taken from its `usage` attribute if it has one."""
        rendered = self.render(output)
        if isinstance(rendered, Answer):
            return rendered
        return Answer(to_json(rendered), JSON, getattr(output, "usage", None))


class Registry:
    """The known tasks by name and shape; the first shape of a task is its default."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks: dict[str, dict[str, Task]] = {}
        for task in tasks:
            self._tasks.setdefault(task.name, {})[task.shape] = task

    def get(self, name: str, shape: str | None = None) -> Task:
        """The task, or `UnknownTask` with the names that exist."""
        shapes = self._tasks.get(name)
        if shapes is None:
            raise UnknownTask(f"task: no task {name!r} (there are: {', '.join(sorted(self._tasks))})")
        if shape is None:
            return next(iter(shapes.values()))
        if shape not in shapes:
            raise UnknownTask(f"shape: task {name} has no shape {shape!r} (it has: {', '.join(shapes)})")
        return shapes[shape]

    def __iter__(self) -> Any:
        return (task for shapes in self._tasks.values() for task in shapes.values())


class UnknownTask(GatewayError):
    """A row names a task or shape that does not exist."""

    title: ClassVar[str | None] = None
