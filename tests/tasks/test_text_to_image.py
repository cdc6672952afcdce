"""Requests for pictures become drawings within the contract's bounds, in every form."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.errors import BadBase64, BadInput
from gateway.tasks import TASKS, Extent
from gateway.tasks.drawing import Drawing, Picture
from gateway.tasks.media import picture

PNG = picture(64, 64)
BASE64 = base64.b64encode(PNG).decode()


def drawing(shape: str, document: dict[str, Any]) -> Drawing:
    task = TASKS.get("text-to-image", shape)
    input: Any = task.parse({"multipart": {"body": document}} if shape == "flux-2" else document)
    # What the worker sees has been dumped and parsed once more.
    again: Any = task.input.model_validate(input.model_dump(exclude_unset=True))
    assert again.drawing() == input.drawing()
    found: Drawing = again.drawing()
    return found


@pytest.mark.parametrize(
    ("shape", "document", "expected"),
    [
        ("stable-diffusion", {}, {"steps": 20, "strength": 1.0, "guidance": 7.5}),
        ("stable-diffusion", {"num_steps": 20}, {"steps": 20, "guidance": 7.5, "given": {"prompt", "steps"}}),
        ("stable-diffusion", {"width": 256, "height": 2048}, {"width": 256, "height": 2048}),
        ("stable-diffusion", {"image": list(PNG), "mask": list(PNG)}, {"image": PNG, "mask": PNG}),
        ("stable-diffusion", {"image_b64": BASE64}, {"image": PNG, "image_field": "/image_b64"}),
        ("stable-diffusion", {"negative_prompt": "", "seed": -1}, {"negative_prompt": "", "seed": -1}),
        ("stable-diffusion", {"seed": None, "height": None, "extra": 1}, {"seed": None, "height": None}),
        ("dreamshaper", {"num_steps": 4.0}, {"steps": 4, "guidance": 7.5}),
        ("flux-1-schnell", {"seed": 2**64 - 1}, {"steps": 4, "guidance": None, "seed": 2**64 - 1}),
        ("flux-1-schnell", {"steps": 8, "width": 9}, {"steps": 8, "width": None}),
        ("phoenix", {}, {"width": 1024, "height": 1024, "steps": 25, "guidance": 2.0}),
        ("phoenix", {"width": 0, "negative_prompt": "x"}, {"width": 1024, "negative_prompt": "x"}),
        ("lucid-origin", {}, {"width": 1120, "height": 1120, "steps": None, "guidance": 4.5}),
        ("lucid-origin", {"steps": 40, "width": 2500}, {"steps": 40, "width": 2500}),
        ("lucid-origin", {"steps": 40, "num_steps": 3}, {"steps": 3}),
        ("flux-2", {}, {"width": 1024, "height": 768, "steps": None, "guidance": None}),
        ("flux-2", {"width": 1920, "steps": 50}, {"width": 1920, "steps": 50}),
        (
            "flux-2",
            {"input_image_3": list(PNG), "input_image_0": BASE64},
            {"references": {"/input_image_0": PNG, "/input_image_3": PNG}},
        ),
    ],
)
def test_requests_become_drawings(shape: str, document: dict[str, Any], expected: dict[str, Any]) -> None:
    found = drawing(shape, {"prompt": "a cat"} | document)
    assert found.prompt == "a cat"
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("shape", "document", "detail"),
    [
        ("stable-diffusion", {"prompt": ""}, "Length of '/prompt' must be >= 1"),
        ("stable-diffusion", {"prompt": 4}, "Type mismatch of '/prompt', 'integer' not in 'string'"),
        ("stable-diffusion", {"width": 255}, "'/width' must be >= 256"),
        ("stable-diffusion", {"height": 2049}, "'/height' must be <= 2048"),
        ("stable-diffusion", {"height": "512"}, "Type mismatch of '/height', 'string' not in 'integer'"),
        ("stable-diffusion", {"num_steps": 21}, "'/num_steps' must be <= 20"),
        ("stable-diffusion", {"num_steps": 0}, "'/num_steps' must be >= 1"),
        ("stable-diffusion", {"strength": 1.1}, "'/strength' must be <= 1"),
        ("stable-diffusion", {"guidance": -1}, "'/guidance' must be >= 0"),
        ("stable-diffusion", {"seed": 1.5}, "Type mismatch of '/seed', 'number' not in 'integer'"),
        ("stable-diffusion", {"seed": 2**64}, "'/seed' must be <= 18446744073709551615"),
        ("stable-diffusion", {"seed": float(2**65)}, "'/seed': an integer of more than 64 bits"),
        ("stable-diffusion", {"mask": list(PNG)}, "'/mask' needs an image to lie on, in '/image' or '/image_b64'"),
        (
            "stable-diffusion",
            {"image_b64": base64.b64encode(PNG[:16] + b"\0\0\xea\x60" * 2 + PNG[24:]).decode()},
            "'/image_b64': an image of 60000 x 60000 pixels; the most is 64000000 pixels",
        ),
        ("stable-diffusion", {"image": [1, 2]}, "'/image': not a PNG, JPEG, WebP, GIF or BMP image"),
        (
            "stable-diffusion",
            {"image": BASE64},
            "'/image': a byte array must be an array of integers from 0 to 255, not 'string'",
        ),
        ("stable-diffusion", {"negative_prompt": "x" * 10_001}, "Length of '/negative_prompt' must be <= 10000"),
        ("flux-1-schnell", {"prompt": "x" * 2049}, "Length of '/prompt' must be <= 2048"),
        ("flux-1-schnell", {"steps": 9}, "'/steps' must be <= 8"),
        ("phoenix", {"guidance": 1.9}, "'/guidance' must be >= 2"),
        ("phoenix", {"guidance": 10.1}, "'/guidance' must be <= 10"),
        ("phoenix", {"seed": -1}, "'/seed' must be >= 0"),
        ("phoenix", {"num_steps": 51}, "'/num_steps' must be <= 50"),
        ("phoenix", {"negative_prompt": ""}, "Length of '/negative_prompt' must be >= 1"),
        ("lucid-origin", {"width": 2501}, "'/width' must be <= 2500"),
        ("lucid-origin", {"steps": 41}, "'/steps' must be <= 40"),
        ("flux-2", {"width": 1921}, "'/multipart/body/width' must be <= 1920"),
        (
            "flux-2",
            {"input_image_0": list(picture(513, 64))},
            "'/multipart/body/input_image_0': an image of 513 x 64 pixels; its sides must have 64 to 512",
        ),
        (
            "flux-2",
            {"input_image_0": list(picture(64, 63))},
            "'/multipart/body/input_image_0': an image of 64 x 63 pixels; its sides must have 64 to 512",
        ),
    ],
)
def test_what_does_not_fit_is_named(shape: str, document: dict[str, Any], detail: str) -> None:
    with pytest.raises(BadInput) as found:
        drawing(shape, {"prompt": "a cat"} | document)
    assert found.value.detail == detail


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        ({"prompt": "a cat"}, "required properties at '/' are 'multipart'"),
        ({"multipart": {}}, "required properties at '/multipart' are 'body'"),
        ({"multipart": {"body": "x"}}, "Type mismatch of '/multipart/body', 'string' not in 'object'"),
        ({"multipart": {"body": {}}}, "required properties at '/multipart/body' are 'prompt'"),
    ],
)
def test_flux_2_asks_for_a_form(document: dict[str, Any], detail: str) -> None:
    with pytest.raises(BadInput) as found:
        TASKS.get("text-to-image", "flux-2").parse(document)
    assert found.value.detail == detail


@pytest.mark.parametrize(
    ("text", "strength"),
    [("0.5", 0.5), (" 1 ", 1), (".5", 0.5), ("5e-1", 0.5), ("-.5", None), (".", None), ("x", None)],
)
def test_a_form_has_numbers_as_web_pages_write_them(text: str, strength: float | None) -> None:
    task = TASKS.get("text-to-image", "stable-diffusion")
    fields: dict[str, str | bytes] = {"prompt": "a cat", "strength": text}
    if strength is None:
        with pytest.raises(BadInput, match="'/strength'"):
            task.parse_form(fields)
    else:
        assert task.parse_form(fields).drawing().strength == strength  # type: ignore[attr-defined]


def test_base64_that_is_none_has_its_own_code() -> None:
    with pytest.raises(BadBase64):
        drawing("stable-diffusion", {"prompt": "x", "image_b64": "?"})


def test_images_count_for_batching() -> None:
    big = list(picture(1024, 1024))
    assert TASKS.get("text-to-image").parse({"prompt": "x"}).extent() == Extent(1, 1)
    assert TASKS.get("text-to-image").parse({"prompt": "x", "image": big}).extent().length > 1024


@pytest.mark.parametrize(
    ("shape", "media_type", "body"),
    [
        ("stable-diffusion", "image/png", b"abc"),
        ("dreamshaper", "image/jpeg", b"abc"),
        ("phoenix", "image/jpeg", b"abc"),
        ("flux-1-schnell", "application/json", b'{"image":"YWJj"}'),
        ("lucid-origin", "application/json", b'{"image":"YWJj"}'),
        ("flux-2", "application/json", b'{"image":"YWJj"}'),
    ],
)
def test_pictures_are_answered_as_each_model_does(shape: str, media_type: str, body: bytes) -> None:
    answer = TASKS.get("text-to-image", shape).encode(Picture(b"abc"))
    assert (answer.media_type, answer.body) == (media_type, body)
