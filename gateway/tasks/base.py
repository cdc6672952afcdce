"""What a task is: its input and output, how bodies become inputs and outputs become answers; knows no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from gateway.config import MIB
from gateway.errors import BadInput, GatewayError
from gateway.tasks.amounts import Amounts, tokens
from gateway.tasks.cost import CHARACTERS_PER_TOKEN, Cost
from gateway.tasks.form import to_values
from gateway.tasks.pieces import Piece, Usage
from gateway.tasks.validation import to_error

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from; the caller's words have no part in it but `model`, the name that was asked for.

    `account` separates callers who must not learn of each other, such as in a cache of prompts. `affinity` is the
    caller's name for a conversation whose requests gain from meeting the same replica; no worker is told of it.
    `traceparent` names the span that waits for the answer (W3C Trace Context); empty if nobody traces the request.
    """

    request_id: str = ""
    account: str = ""
    model: str = ""
    affinity: str = ""
    traceparent: str = ""


class TaskInput(BaseModel):
    """One validated request. Unknown keys are dropped and a null counts as absent, as official clients send both."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """Where the request comes from."""
        return self._origin

    def of(self, origin: Origin) -> Self:
        """This input, as coming from `origin`; for who received it, once."""
        self._origin = origin
        return self

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data

    @classmethod
    def of_form(cls, fields: Mapping[str, str | bytes]) -> Self:
        """The input that the fields of a form describe; raises `ValidationError`."""
        return cls.model_validate(to_values(cls, fields))

    def extent(self) -> Extent:
        """How much work this is, for batching: rows and the longest row, in tokens, seconds or pixels, roughly."""
        return Extent(1, 1)

    def cost(self) -> Cost:
        """What answering takes at most, estimated without decoding anything; by default the tokens of all rows."""
        extent = self.extent()
        return {"tokens": extent.rows * extent.length}


@dataclass(frozen=True, slots=True)
class Extent:
    """The rectangle an input fills in a padded batch."""

    rows: int
    length: int

    @classmethod
    def of_text(cls, characters: int, rows: int = 1) -> Extent:
        """Rows of text whose longest has so many characters: about four make a token, and two tokens enclose it."""
        return cls(rows, 2 + characters // CHARACTERS_PER_TOKEN)


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
    `collect` joins the pieces of a streaming engine's answer to an input into one output, for callers that do not
    stream. `takes_forms` says that a body may be multipart/form-data. `variants` are other forms that the same models
    are also asked in, by the key that only their requests have. With `takes_query`, what a body does not say is taken
    from the query parameters: a raw body says nothing else. `is_live` says that the form is spoken over WebSocket
    alone, `streams_media` that its media is sent while it is being made; the first piece of it says in `extra` which
    `media_type` it has. `addresses` are where the address of a picture may stand in place of a data URI, as JSON
    pointers; `*` in one is every item of a list, or the value itself if that is no list. `measure` says how much an
    input and the output to it (of a streaming engine, the last piece) are, for rows with a price.
    """

    name: str
    title: str
    input: type[TaskInput]
    output: Any
    canary: dict[str, Any]
    shape: str = "default"
    media_field: str | None = None
    render: Callable[[Any], Any] = lambda output: output
    collect: Callable[[Sequence[Piece], Any], Any] | None = None
    takes_forms: bool = False
    max_body_bytes: int = 10 * MIB
    takes_query: bool = False
    is_live: bool = False
    streams_media: bool = False
    addresses: tuple[str, ...] = ()
    measure: Callable[[Any, Any], Amounts] = tokens
    variants: Mapping[str, Task] = field(default_factory=dict)

    def form_of(self, data: Any) -> Task:
        """This form, or the variant of it that a request of `data`, decoded JSON, is in."""
        if not isinstance(data, dict):
            return self
        return next((form for key, form in self.variants.items() if data.get(key) is not None), self)

    def parse(self, data: Any, query: Mapping[str, Any] | None = None) -> TaskInput:
        """The input that `data`, decoded JSON or a mapping, describes.

        `query` holds texts, and lists of texts for repeated parameters, under what `data` holds. Raises `BadInput`,
        `BadBase64` and `InvalidParameter`.
        """
        if query and isinstance(data, Mapping):
            data = {**query, **data}
        return self._checked(self.input.model_validate, data)

    def parse_form(self, fields: Mapping[str, str | bytes]) -> TaskInput:
        """The input that a form's fields (texts, and files as bytes) describe; raises like `parse`."""
        return self._checked(self.input.of_form, fields)

    @staticmethod
    def _checked(parse: Callable[[Any], TaskInput], data: Any) -> TaskInput:
        try:
            return parse(data)
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
