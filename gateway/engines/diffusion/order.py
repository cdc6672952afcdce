"""One picture to draw with every choice made and every image decoded; knows no pipeline."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from gateway.engines.diffusion.options import Options
from gateway.engines.diffusion.studio import Start, Studio
from gateway.engines.images import decode
from gateway.errors import BadInput
from gateway.tasks.drawing import Drawing

MIN_CANVAS, MIN_SIDE, MAX_SIDE = 64, 256, 2048
GREY, WHITE = (127, 127, 127), 255
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Order:
    """What is drawn; sizes are (width, height) in pixels. The canvas is the picture's size, rounded up."""

    id: int
    start: Start
    size: Size
    canvas: Size
    prompt: str
    negative_prompt: str | None
    steps: int | None
    guidance: float | None
    strength: float
    seed: int
    image: Image.Image | None
    mask: Image.Image | None
    references: tuple[Image.Image, ...]

    @property
    def kind(self) -> tuple[Any, ...]:
        """Orders that are equal in this can be drawn in one pass."""
        alone = self.id if self.references else None
        has_negative = self.negative_prompt is not None
        return self.start, self.canvas, self.steps, self.guidance, self.strength, has_negative, alone

    def generator(self) -> torch.Generator:
        """The source of its noise: on the CPU, so that a seed means the same on every device and in every batch."""
        return torch.Generator("cpu").manual_seed(self.seed)

    def framed(self, drawn: Image.Image) -> Image.Image:
        """The middle of what was drawn, in the size that was asked for."""
        left, top = ((canvas - wanted) // 2 for canvas, wanted in zip(drawn.size, self.size, strict=True))
        return drawn.crop((left, top, left + self.size[0], top + self.size[1]))


def take_order(id: int, drawing: Drawing, studio: Studio) -> Order:
    """The order for `drawing`; raises `BadInput` for images that cannot be used and sizes beyond the row's bound."""
    options = studio.options
    start = _start(drawing, studio)
    image = None
    if drawing.image is not None:
        image = decode(drawing.image, options.max_image_pixels, drawing.image_field)
    size = _size(drawing, options, studio.native if image is None else _within_bounds(image.size))
    canvas = _canvas(size, studio.multiple)
    mask = None if drawing.mask is None else decode(drawing.mask, options.max_image_pixels, "/mask").convert("L")
    steps = _choice("steps", drawing, options)
    return Order(
        id=id,
        start=start,
        size=size,
        canvas=canvas,
        prompt=drawing.prompt,
        negative_prompt=drawing.negative_prompt,
        steps=steps,
        guidance=_choice("guidance", drawing, options),
        strength=1.0 if image is None else _strength(drawing.strength, steps),
        seed=drawing.seed if drawing.seed is not None else secrets.randbits(63),
        image=_image(image, start, canvas),
        mask=_mask(mask, start, canvas),
        references=tuple(decode(data, options.max_image_pixels, field) for field, data in drawing.references.items()),
    )


def _start(drawing: Drawing, studio: Studio) -> Start:
    start: Start = "text" if drawing.image is None else "image" if drawing.mask is None else "mask"
    if not studio.offers(start):
        raise BadInput(f"'{drawing.image_field}': this model does not start from an image")
    if drawing.references and not studio.family.looks:
        raise BadInput(f"'{next(iter(drawing.references))}': this model does not look at images")
    return "mask" if studio.redraws_only else start


def _size(drawing: Drawing, options: Options, natural: Size) -> Size:
    """What the request says, else the row, else the request form's own default, else what is natural."""
    sides = (_choice("width", drawing, options), _choice("height", drawing, options))
    width, height = (side or own for side, own in zip(sides, natural, strict=True))
    if width * height > options.max_pixels:
        raise BadInput(f"'/width' x '/height' must be <= {options.max_pixels} pixels")
    return width, height


def _choice(name: str, drawing: Drawing, options: Options) -> Any:
    """The request's own value, unless the row fixes it; else the row's, else the request form's default."""
    own = getattr(options, name)
    if own is None or (name in drawing.given and name not in options.fixed):
        return getattr(drawing, name)
    return own


def _within_bounds(size: Size) -> Size:
    """An image's own size, or the nearest of its shape whose sides lie within the contract's bounds."""
    scale = max(min(1.0, MAX_SIDE / max(size)), MIN_SIDE / min(size))
    width, height = (min(MAX_SIDE, round(side * scale)) for side in size)
    return width, height


def _canvas(size: Size, multiple: int) -> Size:
    width, height = (max(MIN_CANVAS, side + -side % multiple) for side in size)
    return width, height


def _strength(strength: float, steps: int | None) -> float:
    """So much that at least one step is made: a pipeline refuses to make none."""
    return strength if steps is None or int(strength * steps) > 0 else min(1.0, 1.0001 / steps)


def _image(image: Image.Image | None, start: Start, canvas: Size) -> Image.Image | None:
    """The image in the canvas's size. Weights made for inpainting get a grey one if there is none."""
    if image is None:
        return Image.new("RGB", canvas, GREY) if start == "mask" else None
    return image if image.size == canvas else image.resize(canvas, Image.Resampling.LANCZOS)


def _mask(mask: Image.Image | None, start: Start, canvas: Size) -> Image.Image | None:
    """The mask in the canvas's size; where an image is redrawn without one, all of it is."""
    if mask is None:
        return Image.new("L", canvas, WHITE) if start == "mask" else None
    return mask if mask.size == canvas else mask.resize(canvas, Image.Resampling.LANCZOS)
