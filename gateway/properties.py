"""What a row of models.yaml may say of its model for the catalogue; knows no route and no model."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


class Facts(BaseModel):
    """Part of a row: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(Facts):
    """What one `unit` of use costs, e.g. `per M input tokens`."""

    unit: str = Field(min_length=1)
    price: float = Field(ge=0, allow_inf_nan=False)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class ReasoningEffort(Facts):
    """How much a model may be asked to think."""

    supported_efforts: tuple[str, ...] = Field(min_length=1)
    default_effort: str
    mandatory: bool = False
    default_enabled: bool = True


class Properties(Facts):
    """The catalogue's properties, by the names that the live service gives them; what is absent is not listed.

    They describe: the limits that a model is held to are fields of the row itself. Only `price` and `reasoning_effort`
    have an effect on answers.
    """

    price: tuple[Price, ...] = ()
    max_input_tokens: int | None = Field(default=None, ge=1)
    output_dimensions: int | None = Field(default=None, ge=1)
    languages: str = ""
    function_calling: bool = False
    reasoning: bool = False
    reasoning_effort: ReasoningEffort | None = None
    vision: bool = False
    lora: bool = False
    beta: bool = False
    partner: bool = False
    realtime: bool = False
    async_queue: bool = False
    require_workers_paid: bool = False
    info: Url | None = None
    terms: Url | None = None
    planned_deprecation_date: date | None = None
