"""What a caller of the catalogue asks for: filters and a page; knows no wire format of answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from gateway.config import ModelSpec
from gateway.tasks.validation import to_error

SHOWN_AFTER_DEPRECATION = timedelta(days=92)
SOURCES = {"@cf": 1, "@hf": 2}
T = TypeVar("T")


def author_of(name: str) -> str:
    """Who a model is by, from its name: `meta` of `@cf/meta/llama`, `local` of `@local/model`; may be empty."""
    return name.rpartition("/")[0].rpartition("/")[2].removeprefix("@")


def source_of(name: str) -> int:
    """The live service's number of where a model is from, by its name; 0 for those that it does not have."""
    return SOURCES.get(name.partition("/")[0], 0)


class Query(BaseModel):
    """The parameters of `models/search` (docs/catalogue.md), all of which must hold for a model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    search: str = Field("", description="part of a model's name or description")
    author: str = ""
    task: str = Field("", description="the name of a task, as `tasks/search` has it")
    source: float | None = Field(None, description="1: @cf, 2: @hf, 0: others")
    hide_experimental: bool = Field(False, description="leave out models in beta")
    include_deprecated: bool = Field(False, description="with models up to three months after their deprecation")
    page: int = Field(1, ge=1, le=1_000_000_000)
    per_page: int = Field(100, ge=1, le=1000)
    format: Literal["openrouter"] | None = None

    @classmethod
    def of(cls, parameters: QueryParams) -> Query:
        """The query in a request's parameters, of which empty ones count as absent; raises `BadInput`."""
        try:
            return cls.model_validate({key: value for key, value in parameters.items() if value})
        except ValidationError as error:
            raise to_error(error) from None

    @classmethod
    def openapi(cls) -> list[dict[str, Any]]:
        """The parameters as an OpenAPI document describes them."""
        properties = cls.model_json_schema()["properties"]
        return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]

    def matches(self, spec: ModelSpec, task_title: str, today: date) -> bool:
        """Whether the model of this row is asked for."""
        return (
            self.search.lower() in f"{spec.name}\n{spec.description}".lower()
            and self.author.lower() in ("", author_of(spec.name).lower())
            and self.task.lower() in ("", task_title.lower())
            and self.source in (None, source_of(spec.name))
            and not (self.hide_experimental and spec.properties.beta)
            and self._is_listed(spec.properties.planned_deprecation_date, today)
        )

    def slice(self, items: Sequence[T]) -> Sequence[T]:
        """The items of the page; none beyond the last page."""
        start = (self.page - 1) * self.per_page
        return items[start : start + self.per_page]

    def _is_listed(self, deprecated_on: date | None, today: date) -> bool:
        if deprecated_on is None or today < deprecated_on:
            return True
        return self.include_deprecated and today <= deprecated_on + SHOWN_AFTER_DEPRECATION
