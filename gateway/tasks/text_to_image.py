"""Text to image: a prompt and possibly images in, a picture out, raw or as base64 in JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, model_validator

from gateway.tasks.base import Answer, Task
from gateway.tasks.drawing import (
    MAX_PROMPT,
    Drawing,
    DrawingInput,
    Guidance,
    Picture,
    PositiveSeed,
    Prompt,
    Seed,
    given,
    join,
    measure,
)
from gateway.tasks.flux_2 import Flux2Input
from gateway.tasks.image import Base64Image, check_image
from gateway.tasks.schema import raw_media
from gateway.tasks.validation import ByteArray, Integer, Number, Text, schema_error

Side = Annotated[Integer, Field(ge=256, le=2048)]
ImageArray = Annotated[ByteArray, AfterValidator(check_image)]
PHOENIX_SIDE, LUCID_SIDE = 1024, 1120


class StableDiffusionInput(DrawingInput):
    """A prompt alone, with an image to start from (`image` or `image_b64`), or with an image and a mask."""

    prompt: Prompt
    negative_prompt: Annotated[Text, Field(max_length=MAX_PROMPT)] | None = None
    height: Side | None = None
    width: Side | None = None
    image: ImageArray | None = None
    image_b64: Base64Image | None = None
    mask: ImageArray | None = None
    num_steps: Annotated[Integer, Field(ge=1, le=20)] = 20
    strength: Annotated[Number, Field(ge=0, le=1)] = 1.0
    guidance: Guidance = 7.5
    seed: Seed | None = None

    @model_validator(mode="after")
    def _mask_has_image(self) -> StableDiffusionInput:
        if self.mask is not None and self.image is None and self.image_b64 is None:
            raise schema_error("'/mask' needs an image to lie on, in '/image' or '/image_b64'")
        return self

    def drawing(self) -> Drawing:
        """The request in the engine's terms."""
        return Drawing(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            width=self.width,
            height=self.height,
            image=self.image if self.image is not None else self.image_b64,
            image_field="/image" if self.image is not None else "/image_b64",
            mask=self.mask,
            steps=self.num_steps,
            strength=self.strength,
            guidance=self.guidance,
            seed=self.seed,
            given=given(self),
        )


class FluxSchnellInput(DrawingInput):
    """A prompt; the size is the model's own."""

    prompt: Annotated[Text, Field(min_length=1, max_length=2048)]
    steps: Annotated[Integer, Field(ge=1, le=8)] = 4
    seed: Seed | None = None

    def drawing(self) -> Drawing:
        """The request in the engine's terms."""
        return Drawing(prompt=self.prompt, steps=self.steps, seed=self.seed, given=given(self))


class PhoenixInput(DrawingInput):
    """A prompt and what to keep out of the picture; a side of 0 is as if it were not given."""

    prompt: Prompt
    guidance: Annotated[Number, Field(ge=2, le=10)] = 2.0
    seed: PositiveSeed | None = None
    height: Annotated[Integer, Field(ge=0, le=2048)] = PHOENIX_SIDE
    width: Annotated[Integer, Field(ge=0, le=2048)] = PHOENIX_SIDE
    num_steps: Annotated[Integer, Field(ge=1, le=50)] = 25
    negative_prompt: Prompt | None = None

    def drawing(self) -> Drawing:
        """The request in the engine's terms."""
        return Drawing(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            width=self.width or PHOENIX_SIDE,
            height=self.height or PHOENIX_SIDE,
            steps=self.num_steps,
            guidance=self.guidance,
            seed=self.seed,
            given=given(self),
        )


class LucidInput(DrawingInput):
    """A prompt; of `num_steps` and `steps` the first counts, and a side of 0 is as if it were not given."""

    prompt: Prompt
    guidance: Annotated[Number, Field(ge=0, le=10)] = 4.5
    seed: PositiveSeed | None = None
    height: Annotated[Integer, Field(ge=0, le=2500)] = LUCID_SIDE
    width: Annotated[Integer, Field(ge=0, le=2500)] = LUCID_SIDE
    num_steps: Annotated[Integer, Field(ge=1, le=40)] | None = None
    steps: Annotated[Integer, Field(ge=1, le=40)] | None = None

    def drawing(self) -> Drawing:
        """The request in the engine's terms."""
        return Drawing(
            prompt=self.prompt,
            width=self.width or LUCID_SIDE,
            height=self.height or LUCID_SIDE,
            steps=self.num_steps or self.steps,
            guidance=self.guidance,
            seed=self.seed,
            given=given(self),
        )


class ImageOutput(BaseModel):
    """The answer of models that give their picture as base64 of a JPEG file."""

    image: str


def _as_base64(picture: Picture) -> ImageOutput:
    return ImageOutput(image=base64.b64encode(picture.data).decode())


def _as_media(media_type: str) -> Callable[[Picture], Answer]:
    return lambda picture: Answer(picture.data, media_type)


def _task(shape: str, input: type[DrawingInput], media_type: str | None, canary: dict[str, Any]) -> Task:
    """A form of the task; without a media type, the picture is base64 of a JPEG file in JSON."""
    return Task(
        name="text-to-image",
        title="Text-to-Image",
        shape=shape,
        input=input,
        output=ImageOutput if media_type is None else raw_media(media_type),
        canary=canary,
        render=_as_base64 if media_type is None else _as_media(media_type),
        collect=join,
        measure=measure,
        takes_forms=True,
    )


_SMALL = {"prompt": "a", "num_steps": 1, "height": 256, "width": 256}
STABLE_DIFFUSION = _task("stable-diffusion", StableDiffusionInput, "image/png", _SMALL)
DREAMSHAPER = _task("dreamshaper", StableDiffusionInput, "image/jpeg", _SMALL)
FLUX_1 = _task("flux-1-schnell", FluxSchnellInput, None, {"prompt": "a", "steps": 1})
FLUX_2 = _task("flux-2", Flux2Input, None, {"multipart": {"body": _SMALL | {"steps": 1}}})
PHOENIX = _task("phoenix", PhoenixInput, "image/jpeg", _SMALL)
LUCID = _task("lucid-origin", LucidInput, None, _SMALL)
