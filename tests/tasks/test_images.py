"""Image bodies become inputs by their headers alone; what does not fit is refused before a worker sees it."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from gateway.errors import BadBase64, BadInput
from gateway.tasks import TASKS, Extent, Task
from gateway.tasks.image import MAX_PIXELS
from gateway.tasks.media import picture

CLASSIFY = TASKS.get("image-classification")
DETECT = TASKS.get("object-detection")
EMBED = TASKS.get("multimodal-embeddings")
PNG = picture(64, 48)
BASE64 = base64.b64encode(PNG).decode()


def declaring(width: int, height: int) -> bytes:
    """A PNG whose header says so."""
    return PNG[:16] + struct.pack(">II", width, height) + PNG[24:]


@pytest.mark.parametrize("task", [CLASSIFY, DETECT], ids=lambda task: task.name)
@pytest.mark.parametrize("form", [list(PNG), BASE64, BASE64.rstrip("="), f"data:image/png;base64,{BASE64}"])
def test_every_form_gives_the_same_bytes(task: Task, form: Any) -> None:
    assert task.parse({"image": form}).image == task.parse_raw(PNG).image == PNG


@pytest.mark.parametrize("task", [CLASSIFY, DETECT], ids=lambda task: task.name)
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "required properties at '/' are 'image'"),
        ({"image": None}, "required properties at '/' are 'image'"),
        ({"image": 5}, "Type mismatch of '/image', 'integer' not in 'array'"),
        ({"image": {"body": "x"}}, "Type mismatch of '/image', 'object' not in 'array'"),
        ({"image": [137, 256]}, "'/image': the items of a byte array must be integers from 0 to 255"),
        ({"image": []}, "'/image': the media must not be empty"),
        ({"image": ""}, "'/image': the media must not be empty"),
        ({"image": list(b"<svg></svg>")}, "'/image': not a PNG, JPEG, WebP, GIF or BMP image"),
        (
            {"image": list(declaring(60_000, 60_000))},
            f"'/image': an image of 60000 x 60000 pixels; the most is {MAX_PIXELS} pixels",
        ),
        (
            {"image": list(declaring(1, 4000))},
            "'/image': an image of 1 x 4000 pixels; one side may be at most 50 times the other",
        ),
    ],
)
def test_what_does_not_fit_is_named(task: Task, body: Any, detail: str) -> None:
    with pytest.raises(BadInput) as found:
        task.parse(body)
    assert found.value.detail == detail


def test_a_string_that_is_not_base64_is_5004() -> None:
    with pytest.raises(BadBase64):
        CLASSIFY.parse({"image": "!"})


@pytest.mark.parametrize(
    ("data", "length"),
    [(declaring(1024, 1024), 1025), (declaring(8000, 8000), 62_501), (PNG + bytes(1 << 20), 1025), (PNG, 4)],
    ids=["square", "largest", "more bytes than pixels", "small"],
)
def test_the_extent_is_in_thousands_of_pixels_or_bytes(data: bytes, length: int) -> None:
    assert CLASSIFY.parse_raw(data).extent() == DETECT.parse_raw(data).extent() == Extent(1, length)


@pytest.mark.parametrize(
    ("body", "extent"),
    [
        ({"text": ["ab", "abcdefgh"]}, Extent(2, 4)),
        ({"image": BASE64}, Extent(1, 4)),
        ({"image": BASE64, "text": ["x" * 400]}, Extent(2, 102)),
    ],
)
def test_an_image_and_texts_come_together_or_alone(body: dict[str, Any], extent: Extent) -> None:
    assert EMBED.parse(body).extent() == extent


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (
            {},
            "anyOf at '/' not met, 0 matches: "
            "required properties at '/' are 'image', required properties at '/' are 'text'",
        ),
        ({"text": []}, "Length of '/text' must be >= 1"),
        ({"text": "one"}, "Type mismatch of '/text', 'string' not in 'array'"),
        ({"text": ["a", ""]}, "Length of '/text/1' must be >= 1"),
        ({"text": ["a"] * 3001}, "Length of '/text' must be <= 3000"),
        ({"image": "aGVsbG8="}, "'/image': not a PNG, JPEG, WebP, GIF or BMP image"),
    ],
)
def test_what_cannot_be_embedded_is_named(body: dict[str, Any], detail: str) -> None:
    with pytest.raises(BadInput) as found:
        EMBED.parse(body)
    assert found.value.detail == detail


def test_an_array_where_base64_belongs_is_5004() -> None:
    with pytest.raises(BadBase64) as found:
        EMBED.parse({"image": list(PNG)})
    assert found.value.detail == "array"


def test_raw_bytes_are_no_multimodal_input() -> None:
    with pytest.raises(BadInput, match=r"Type mismatch of '/', 'null' not in 'object'"):
        EMBED.parse_raw(PNG)
