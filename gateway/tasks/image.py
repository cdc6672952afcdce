"""What an image is in a request: its JSON forms, the files that are taken and how large they may be; knows no task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from gateway.tasks.base import Extent, TaskInput
from gateway.tasks.cost import Cost
from gateway.tasks.image_header import Size, measure
from gateway.tasks.validation import Base64, bytes_of_base64, bytes_of_numbers, schema_error

MAX_PIXELS = 64_000_000
# Models enlarge the shorter side to a fixed length: of a line of pixels that would make gigabytes.
MAX_ASPECT = 50
# In one request.
MAX_PICTURES = 16
UNKNOWN = "not a PNG, JPEG, WebP, GIF or BMP image"
_UNIT = 1024
# Where a request with one picture has it.
ADDRESSES = ("/image",)


def size_fault(size: Size, max_pixels: int = MAX_PIXELS) -> str | None:
    """What is wrong with an image of that width and height, if anything."""
    width, height = size
    if width * height > max_pixels:
        return f"an image of {width} x {height} pixels; the most is {max_pixels} pixels"
    if max(size) > MAX_ASPECT * min(size):
        return f"an image of {width} x {height} pixels; one side may be at most {MAX_ASPECT} times the other"
    return None


def check_image(data: bytes) -> bytes:
    """`data` itself if its header says that it is an image within bounds; raises what validators raise."""
    if not data:
        raise schema_error("the media must not be empty")
    size = measure(data)
    fault = UNKNOWN if size is None else size_fault(size)
    if fault is not None:
        raise schema_error(fault)
    return data


def sides_within(least: int, most: int) -> Callable[[bytes], bytes]:
    """A validator of images whose sides have from `least` to `most` pixels."""

    def check(data: bytes) -> bytes:
        width, height = measure(data) or (0, 0)
        if not (least <= min(width, height) and max(width, height) <= most):
            raise schema_error(f"an image of {width} x {height} pixels; its sides must have {least} to {most}")
        return data

    return check


def _bytes_of_any(value: Any) -> Any:
    return bytes_of_base64(value) if isinstance(value, str) else bytes_of_numbers(value)


def length(data: bytes) -> int:
    """How much work an image is, for batching: thousands of pixels, or of bytes if those are more."""
    width, height = measure(data) or (0, 0)
    return 1 + max(width * height, len(data)) // _UNIT


def pixels(data: bytes) -> int:
    """How many pixels the file declares."""
    width, height = measure(data) or (0, 0)
    return width * height


# Raw bytes, an array of bytes, or base64; the file's header has been looked at, nothing has been decoded.
Image = Annotated[
    bytes,
    BeforeValidator(_bytes_of_any),
    AfterValidator(check_image),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
                {"type": "string", "contentEncoding": "base64"},
            ]
        }
    ),
]
Base64Image = Annotated[Base64, AfterValidator(check_image)]


class ImageInput(TaskInput):
    """Raw bytes of an image file, or JSON with `image` as an array of bytes or as base64."""

    image: Image

    def extent(self) -> Extent:
        """One row; the length is in thousands of pixels."""
        return Extent(1, length(self.image))

    def cost(self) -> Cost:
        """The pixels to decode."""
        return {"pixels": pixels(self.image)}
