"""Image files of unknown origin as upright RGB pixels, within bounds; knows no model and opens only the bytes given."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from gateway.errors import BadInput
from gateway.tasks.image import MAX_PIXELS, UNKNOWN, size_fault
from gateway.tasks.image_header import Size, measure

PILLOWS_LIMIT_PIXELS = (1 << 30) // 12
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_STILL = ("PNG", "WEBP")


def decode(data: bytes, max_pixels: int = MAX_PIXELS, field: str = "/image") -> Image.Image:
    """The picture in `data` in RGB, upright as its EXIF orientation says; of a GIF the first frame.

    Sizes are checked in the header before Pillow sees the file, and again as Pillow understands it, so that memory
    stays within a few times `max_pixels`. Raises `BadInput` naming `field` for anything but one whole picture in a
    known format, and `RuntimeError` if a library has lifted Pillow's own limit.
    """
    if Image.MAX_IMAGE_PIXELS is None or Image.MAX_IMAGE_PIXELS > PILLOWS_LIMIT_PIXELS:
        raise RuntimeError("a library has raised PIL.Image.MAX_IMAGE_PIXELS: images are not decoded without it")
    size = measure(data)
    if size is None:
        raise BadInput(f"'{field}': {UNKNOWN}")
    _admit(size, max_pixels, field)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _admit(image.size, max_pixels, field)
            if image.format in _STILL and getattr(image, "n_frames", 1) > 1:
                raise BadInput(f"'{field}': an animation, not a single picture")
            image.load()
            return _rgb(_upright(image))
    except BadInput:
        raise
    except Exception:  # a broken file makes Pillow's readers raise whatever comes of it
        raise BadInput(f"'{field}': a damaged image, which cannot be decoded") from None


def _admit(size: Size, max_pixels: int, field: str) -> None:
    if (fault := size_fault(size, max_pixels)) is not None:
        raise BadInput(f"'{field}': {fault}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the picture is whole, only what is said about it is not
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """As transformers converts: transparency is dropped, what is below it shows. But 16 bits keep their greys."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
