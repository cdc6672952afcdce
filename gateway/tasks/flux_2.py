"""FLUX.2's form of text to image: fields of a form, among them up to four images to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.tasks.base import TaskInput
from gateway.tasks.drawing import Drawing, DrawingInput, Guidance, Prompt, Seed, given
from gateway.tasks.form import to_values
from gateway.tasks.image import Image, sides_within
from gateway.tasks.validation import Integer, Text

MAX_STEPS = 50
Side = Annotated[Integer, Field(ge=256, le=1920)]
Reference = Annotated[Image, AfterValidator(sides_within(64, 512))]


class Flux2Fields(TaskInput):
    """The fields of the form."""

    prompt: Prompt
    steps: Annotated[Integer, Field(ge=1, le=MAX_STEPS)] | None = None
    guidance: Guidance | None = None
    width: Side = 1024
    height: Side = 768
    seed: Seed | None = None
    input_image_0: Reference | None = None
    input_image_1: Reference | None = None
    input_image_2: Reference | None = None
    input_image_3: Reference | None = None


class Flux2Multipart(TaskInput):
    """A form written as JSON; `contentType` is read by nobody."""

    body: Flux2Fields
    contentType: Text = "multipart/form-data"  # noqa: N815 - the contract's name


class Flux2Input(DrawingInput):
    """A body of the type multipart/form-data, or its fields as JSON under `multipart` and `body`."""

    multipart: Flux2Multipart

    @classmethod
    def of_form(cls, fields: Mapping[str, str | bytes]) -> Flux2Input:
        """The input that the fields describe; raises `ValidationError` with the fields' own names."""
        return cls(multipart=Flux2Multipart(body=Flux2Fields.model_validate(to_values(Flux2Fields, fields))))

    def drawing(self) -> Drawing:
        """The request in the engine's terms."""
        body = self.multipart.body
        images = {f"/input_image_{number}": getattr(body, f"input_image_{number}") for number in range(4)}
        return Drawing(
            prompt=body.prompt,
            width=body.width,
            height=body.height,
            references={name: image for name, image in images.items() if image is not None},
            steps=body.steps,
            guidance=body.guidance,
            seed=body.seed,
            given=given(body),
        )
