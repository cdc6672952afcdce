"""FLUX.1 and FLUX.2 draw what diffusers draws, from text and from images to look at."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image

from tests import tiny_diffusion
from tests.engines.diffusion.drawing import (
    answers,
    apart,
    as_jpeg,
    engine,
    library,
    pixels,
    seeded,
    with_index,
)
from tests.tiny_vision import picture


def test_flux_1_equals_the_library(flux: Path) -> None:
    loaded = engine(flux, "flux-1-schnell", options={"width": 256, "height": 256})
    draw = library(flux)
    prompts = ["a cat", "a red dog"]
    found = answers(loaded, *({"prompt": prompt, "seed": seed} for seed, prompt in enumerate(prompts)))
    for seed, prompt in enumerate(prompts):
        direct = draw(
            prompt,
            width=256,
            height=256,
            num_inference_steps=4,
            max_sequence_length=256,
            generator=seeded(seed),
        ).images[0]
        assert pixels(direct).std() > 10
        assert apart(found[seed], as_jpeg(direct)) < 0.5


def test_flux_2_looks_at_images(flux_2: Path) -> None:
    loaded = engine(flux_2, "flux-2", options={"steps": 2, "fixed": ["steps"]})
    draw = library(flux_2)
    photos = [picture(96, 64, seed=1), picture(512, 80, seed=2)]
    plain = {"prompt": "a cat", "seed": 1, "width": 256, "height": 272, "steps": 50}
    looking = plain | {"input_image_0": list(photos[0]), "input_image_3": list(photos[1])}
    found = answers(loaded, looking, plain, plain | {"prompt": "a dog"})
    for answer, prompt, images in (
        (found[0], "a cat", [Image.open(io.BytesIO(photo)) for photo in photos]),
        (found[1], "a cat", None),
        (found[2], "a dog", None),
    ):
        direct = draw(images, prompt, width=256, height=272, num_inference_steps=2, generator=seeded(1)).images[0]
        assert apart(answer, as_jpeg(direct)) < 0.5
    assert apart(found[0], found[1]) > 1, "the images were not looked at"


def test_flux_2_dev_is_guided_and_needs_no_image_processor(tmp_path: Path) -> None:
    plain_tokenizer = tiny_diffusion.flux_2_dev(tmp_path / "dev")
    files = shutil.copytree(plain_tokenizer, tmp_path / "published")
    with_index(files, tokenizer=["transformers", "PixtralProcessor"])
    asked = {"prompt": "a cat", "seed": 1, "width": 256, "height": 256, "steps": 2}
    plain, guided = answers(engine(files, "flux-2"), asked, asked | {"guidance": 9.5})
    draw = library(plain_tokenizer)
    for found, guidance in ((plain, 4.0), (guided, 9.5)):
        size = {"width": 256, "height": 256, "num_inference_steps": 2, "guidance_scale": guidance}
        assert apart(found, as_jpeg(draw(prompt="a cat", generator=seeded(1), **size).images[0])) < 0.5
    assert apart(plain, guided) > 0.5


def test_large_pictures_are_decoded_in_tiles(flux: Path) -> None:
    size = {"width": 2048, "height": 528}
    found = answers(engine(flux, "flux-1-schnell", options=size), {"prompt": "a", "steps": 1, "seed": 1})[0]
    draw = library(flux)
    asked = size | {"num_inference_steps": 1, "max_sequence_length": 256}
    whole = as_jpeg(draw("a", **asked, generator=seeded(1)).images[0])
    draw.vae.enable_tiling()
    tiled = as_jpeg(draw("a", **asked, generator=seeded(1)).images[0])
    assert apart(found, tiled) < 0.1 < apart(found, whole)
