"""A picture to be made, whatever the request's form was, and what all forms have in common; knows no form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field

from gateway.tasks.amounts import Amounts
from gateway.tasks.base import Extent, TaskInput
from gateway.tasks.cost import Cost
from gateway.tasks.image import length, pixels
from gateway.tasks.image_header import measure as size_of
from gateway.tasks.pieces import Piece
from gateway.tasks.validation import Integer, Number, Text

# Encoders read a few hundred tokens at most; what is longer costs time and changes nothing.
MAX_PROMPT = 10_000
LARGEST_SEED = (1 << 64) - 1
# What a side in pixels and the steps are taken for where they are the model's own choice.
ASSUMED_SIDE, ASSUMED_STEPS = 1024, 28

Prompt = Annotated[Text, Field(min_length=1, max_length=MAX_PROMPT)]
Guidance = Annotated[Number, Field(ge=0, le=100)]
Seed = Annotated[Integer, Field(ge=-(1 << 63), le=LARGEST_SEED)]
PositiveSeed = Annotated[Integer, Field(ge=0, le=LARGEST_SEED)]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What an engine is asked to draw; None is the model's own choice. Sides are in pixels.

    Images are whole files, measured but not decoded. `image` is redrawn as far as `strength` (0 to 1) allows, and
    only where `mask` is white if there is one; `references`, by their fields' names, are only looked at. `given`
    has the names of those of these fields that the caller set and no default did.
    """

    prompt: str
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    image: bytes | None = None
    image_field: str = "/image"
    mask: bytes | None = None
    references: Mapping[str, bytes] = field(default_factory=dict)
    steps: int | None = None
    strength: float = 1.0
    guidance: float | None = None
    seed: int | None = None
    given: frozenset[str] = frozenset()


class DrawingInput(TaskInput):
    """A request for a picture."""

    def drawing(self) -> Drawing:
        """The request in the engine's terms."""
        raise NotImplementedError

    def extent(self) -> Extent:
        """One row; the length is that of the images sent along, in thousands of pixels or bytes."""
        drawing = self.drawing()
        images = (drawing.image, drawing.mask, *drawing.references.values())
        return Extent(1, 1 + sum(length(image) for image in images if image is not None))

    def cost(self) -> Cost:
        """The pixels of the picture and of those it is drawn after, once for each step."""
        drawing = self.drawing()
        own = size_of(drawing.image) if drawing.image is not None else None
        width, height = own or (ASSUMED_SIDE, ASSUMED_SIDE)
        drawn = (drawing.width or width) * (drawing.height or height)
        looked_at = sum(pixels(image) for image in drawing.references.values())
        return {"pixel_steps": (drawn + looked_at) * (drawing.steps or ASSUMED_STEPS)}


def given(input: BaseModel) -> frozenset[str]:
    """The fields that the caller set, by the names of `Drawing`."""
    return frozenset("steps" if name == "num_steps" else name for name in input.model_fields_set)


@dataclass(frozen=True, slots=True)
class Picture:
    """What an engine returns: an encoded image file."""

    data: bytes


def join(pieces: Sequence[Piece], input: TaskInput) -> Picture:
    """The file whose bytes the pieces carry, in order."""
    return Picture(b"".join(piece.data for piece in pieces))


def measure(input: DrawingInput, drawn: Any) -> Amounts:
    """The picture in the file's own size, the images it was made after, and the steps, if they are known."""
    drawing = input.drawing()
    usage = getattr(drawn, "usage", None)
    sizes = (size_of(image) for image in (drawing.image, *drawing.references.values()) if image is not None)
    return Amounts(
        images=1,
        steps=drawing.steps if usage is None or usage.steps is None else usage.steps,
        picture=size_of(drawn.data),
        references=tuple(size for size in sizes if size is not None),
    )
