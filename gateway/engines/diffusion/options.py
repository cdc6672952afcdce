"""What a row may say of a diffusion model; knows no model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gateway.config import Frozen
from gateway.tasks.image import MAX_PIXELS

Side = Annotated[int, Field(ge=64, le=4096)]


class Options(Frozen):
    """Defaults for what a request leaves open, and the scheduler if not the folder's own.

    `fixed` names what a request cannot change: a distilled model has been trained for its steps or its guidance.
    `scheduler` is a class of diffusers, `scheduler_settings` replace those in the folder. `max_pixels` bounds the
    picture, `max_image_pixels` those sent along.
    """

    width: Side | None = None
    height: Side | None = None
    steps: int | None = Field(None, ge=1, le=100)
    guidance: float | None = Field(None, ge=0, le=100)
    fixed: tuple[Literal["steps", "guidance"], ...] = ()
    scheduler: str | None = None
    scheduler_settings: dict[str, Any] = Field(default_factory=dict)
    max_pixels: int = Field(2500 * 2500, ge=256 * 256)
    max_image_pixels: int = Field(MAX_PIXELS, ge=256 * 256)

    @model_validator(mode="after")
    def _fixed_to_something(self) -> Options:
        for name in self.fixed:
            if getattr(self, name) is None:
                raise ValueError(f"{name} cannot be fixed without a value")
        return self
