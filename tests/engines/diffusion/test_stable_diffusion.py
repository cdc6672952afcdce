"""Stable Diffusion draws what diffusers draws, from text, images and masks, alone and among others."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import (
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image

from gateway.errors import FlaggedContent
from tests import tiny_diffusion
from tests.engines.diffusion.drawing import (
    answers,
    apart,
    as_array,
    as_jpeg,
    assert_alike,
    engine,
    library,
    pixels,
    seeded,
)
from tests.tiny_diffusion import NATIVE
from tests.tiny_vision import picture

# diffusers' Euler schedulers, as numpy 2 sees them.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.mark.parametrize("model", ["sd", "xl"])
def test_pictures_equal_the_librarys_alone_and_among_others(model: str, request: pytest.FixtureRequest) -> None:
    files = request.getfixturevalue(model)
    documents: list[dict[str, Any]] = [
        {"prompt": "a cat", "seed": 1, "num_steps": 3},
        {"prompt": "a red dog", "seed": 2, "num_steps": 3, "width": NATIVE + 64},
        {"prompt": "a tree", "seed": 3, "num_steps": 3},
        {"prompt": "a tree", "seed": 3, "num_steps": 3, "negative_prompt": "leaves", "guidance": 3},
        {"prompt": "a boat", "seed": -4, "num_steps": 3, "guidance": 0},
    ]
    loaded = engine(files)
    together = answers(loaded, *documents)
    draw = library(files)
    for document, found in zip(documents, together, strict=True):
        expected = draw(
            document["prompt"],
            negative_prompt=document.get("negative_prompt"),
            num_inference_steps=3,
            guidance_scale=document.get("guidance", 7.5),
            width=document.get("width", NATIVE),
            height=NATIVE,
            generator=seeded(document["seed"]),
        ).images[0]
        assert_alike(found, expected)
        assert_alike(answers(loaded, document)[0], expected, levels=0)


def test_an_image_is_redrawn_as_far_as_its_strength_allows(sd: Path) -> None:
    photo = picture(320, 256, seed=5)
    document = {"prompt": "a cat", "seed": 1, "num_steps": 4, "strength": 0.5, **as_array(image=photo)}
    small, whole = answers(engine(sd), document | {"width": 256}, document)
    draw = library(sd, StableDiffusionImg2ImgPipeline)
    upright = Image.open(io.BytesIO(photo))
    for found, image in ((small, upright.resize((256, 256), Image.Resampling.LANCZOS)), (whole, upright)):
        assert_alike(
            found, draw("a cat", image, strength=0.5, num_inference_steps=4, generator=seeded(1)).images[0], levels=1
        )


@pytest.mark.parametrize("model", ["sd", "inpainting", "xl"])
@pytest.mark.parametrize("masked", [False, True], ids=["image", "mask"])
def test_images_that_share_a_pass_do_not_mix(model: str, masked: bool, request: pytest.FixtureRequest) -> None:
    loaded = engine(request.getfixturevalue(model))
    documents = [
        {"prompt": f"a cat {seed}", "seed": seed, "num_steps": 2, "strength": 0.9, "width": 256, "height": 256}
        | as_array(image=picture(256, 256, seed), **({"mask": picture(64, 64, seed + 9)} if masked else {}))
        for seed in range(3)
    ]
    for found, document in zip(answers(loaded, *documents), documents, strict=True):
        assert_alike(found, answers(loaded, document)[0])


@pytest.mark.parametrize("model", ["sd", "inpainting"])
def test_only_the_white_of_a_mask_is_redrawn(model: str, request: pytest.FixtureRequest) -> None:
    files = request.getfixturevalue(model)
    photo, mask = picture(256, 256, seed=5), io.BytesIO()
    Image.fromarray(np.repeat(np.uint8([[0, 255]]), 128, 1).repeat(256, 0)).save(mask, "PNG")
    document = {"prompt": "a cat", "seed": 1, "num_steps": 4, **as_array(image=photo, mask=mask.getvalue())}
    draw = library(files, StableDiffusionInpaintPipeline)
    expected = draw(
        "a cat", Image.open(io.BytesIO(photo)), Image.open(mask), num_inference_steps=4, generator=seeded(1)
    ).images[0]
    assert_alike(answers(engine(files), document)[0], expected, levels=1)


def test_weights_for_inpainting_also_draw_from_text_alone(inpainting: Path) -> None:
    grey, white = Image.new("RGB", (NATIVE, NATIVE), (127, 127, 127)), Image.new("L", (NATIVE, NATIVE), 255)
    draw = library(inpainting, StableDiffusionInpaintPipeline)
    expected = draw("a cat", grey, white, num_inference_steps=3, generator=seeded(1)).images[0]
    assert_alike(answers(engine(inpainting), {"prompt": "a cat", "seed": 1, "num_steps": 3})[0], expected, levels=1)


def test_no_strength_at_all_keeps_the_image(sd: Path) -> None:
    photo = picture(320, 256, seed=5)
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 10, **as_array(image=photo)}
    none, some = answers(engine(sd), asked | {"strength": 0}, asked | {"strength": 0.8})
    draw = library(sd, StableDiffusionImg2ImgPipeline)
    least = draw("a cat", Image.open(io.BytesIO(photo)), strength=0.1001, num_inference_steps=10, generator=seeded(1))
    assert_alike(none, least.images[0], levels=1)
    assert apart(none, some) > 5


def test_base64_and_numbers_are_the_same_image(sd: Path) -> None:
    photo = picture(256, 256, seed=5)
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 2, "strength": 0.6}
    numbers, text = answers(
        engine(sd), asked | as_array(image=photo), asked | {"image_b64": base64.b64encode(photo).decode()}
    )
    assert_alike(numbers, text)


@pytest.mark.parametrize(
    ("options", "kind", "settings"),
    [
        ({"scheduler": "LCMScheduler"}, LCMScheduler, {}),
        (
            {"scheduler": "EulerDiscreteScheduler", "scheduler_settings": {"timestep_spacing": "trailing"}},
            EulerDiscreteScheduler,
            {"timestep_spacing": "trailing"},
        ),
    ],
    ids=["lcm", "lightning"],
)
def test_the_rows_scheduler_and_defaults_are_used(
    sd: Path, options: dict[str, Any], kind: Any, settings: dict[str, Any]
) -> None:
    draw = library(sd)
    draw.scheduler = kind.from_config(draw.scheduler.config, **settings)
    loaded = engine(sd, "dreamshaper", options=options | {"steps": 4, "guidance": 1.5, "fixed": ["guidance"]})
    one, other = answers(
        loaded, {"prompt": "a cat", "seed": 1}, {"prompt": "a dog", "seed": 2, "num_steps": 2, "guidance": 7.5}
    )
    for found, prompt, steps, seed in ((one, "a cat", 4, 1), (other, "a dog", 2, 2)):
        assert Image.open(io.BytesIO(found)).format == "JPEG"
        direct = draw(prompt, num_inference_steps=steps, guidance_scale=1.5, generator=seeded(seed)).images[0]
        assert apart(found, as_jpeg(direct)) < 0.5


def test_any_size_is_met_to_the_pixel(sd: Path) -> None:
    asked = {"prompt": "a cat", "num_steps": 1, "seed": 1}
    odd, even = answers(engine(sd), asked | {"width": 259, "height": 301}, asked | {"width": 264, "height": 304})
    assert pixels(odd).shape == (301, 259, 3)
    assert_alike(Image.fromarray(pixels(even)[1:302, 2:261].astype(np.uint8)), odd)


def test_without_a_seed_pictures_differ(sd: Path) -> None:
    asked = {"prompt": "a cat", "num_steps": 1}
    one, other = answers(engine(sd), asked, asked)
    assert apart(one, other) > 5


def test_an_image_counts_upright(sd: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    upright, turned = Image.open(io.BytesIO(picture(320, 256, seed=5))), io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 2, "strength": 0.5}
    one, other = answers(
        engine(sd), asked | as_array(image=turned.getvalue()), asked | as_array(image=picture(320, 256, seed=5))
    )
    assert_alike(one, other)


def test_pictures_that_the_folders_own_checker_flags_are_not_given(tmp_path: Path) -> None:
    loaded = engine(tiny_diffusion.stable_diffusion(tmp_path / "sd", checked=True))
    (answer,) = answers(loaded, {"prompt": "a cat", "num_steps": 1})
    assert isinstance(answer, FlaggedContent)
    assert (answer.status, answer.code) == (400, 3030)
