"""The diffusion engine draws what diffusers draws, alone and among others, and stops when nobody waits."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from gateway.config import ConfigError, ModelSpec
from gateway.engines.diffusion import Engine
from gateway.engines.image_encoding import encode
from gateway.errors import BadInput, FlaggedContent, GatewayError, InferenceFailed
from gateway.tasks import TASKS
from tests import tiny_diffusion
from tests.tiny_diffusion import NATIVE
from tests.tiny_vision import picture

# diffusers' Euler schedulers, as numpy 2 sees them.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
Pixels = NDArray[np.int16]
# Two passes over batches of different sizes differ in the last digits of their sums.
LEVELS = 2


def engine(files: Path, shape: str = "stable-diffusion", **fields: Any) -> Engine:
    task = TASKS.get("text-to-image", shape)
    row = {"dtype": "float32", "device": "cpu", "threads": 1} | fields
    return Engine(ModelSpec(name="@local/x", task=task.name, shape=shape, engine="diffusion", **row), task, files)


def parse(engine: Engine, document: dict[str, Any]) -> Any:
    form = {"multipart": {"body": document}} if engine.task.shape == "flux-2" else document
    task = engine.task
    # As the worker gets it: dumped by the gateway and validated again.
    return task.input.model_validate(task.parse(form).model_dump(exclude_unset=True))


def answers(engine: Engine, *documents: dict[str, Any]) -> list[Any]:
    """What each becomes when all are inside at once, in their order: a file's bytes, or an error."""
    for id, document in enumerate(documents):
        engine.admit(id, parse(engine, document))
    found: dict[int, Any] = {}
    while len(found) < len(documents):
        found |= {id: piece if isinstance(piece, GatewayError) else piece.data for id, piece in engine.step()}
    return [found[id] for id in range(len(documents))]


def pixels(image: bytes | Image.Image) -> Pixels:
    opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
    return np.asarray(opened.convert("RGB"), np.int16)


def assert_alike(found: bytes | Image.Image, expected: bytes | Image.Image, levels: int = LEVELS) -> None:
    assert pixels(found).std() > 10, "a plain picture would prove nothing"
    assert pixels(found).shape == pixels(expected).shape
    assert np.abs(pixels(found) - pixels(expected)).max() <= levels


def apart(found: bytes | Image.Image, expected: bytes | Image.Image) -> float:
    """The mean difference, in levels."""
    return float(np.abs(pixels(found) - pixels(expected)).mean())


def as_jpeg(image: Image.Image) -> bytes:
    """As JPEG changes a picture, and noise more than a photograph."""
    return encode(image, "JPEG")


def library(files: Path, kind: Any = DiffusionPipeline) -> Any:
    pipeline = kind.from_pretrained(files, safety_checker=None) if kind is not DiffusionPipeline else None
    pipeline = pipeline or DiffusionPipeline.from_pretrained(files)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def as_array(**images: bytes) -> dict[str, list[int]]:
    return {name: list(data) for name, data in images.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diffusion")


@pytest.fixture(scope="module")
def sd(home: Path) -> Path:
    return tiny_diffusion.stable_diffusion(home / "sd")


@pytest.fixture(scope="module")
def inpainting(home: Path) -> Path:
    return tiny_diffusion.stable_diffusion(home / "inpainting", inpainting=True)


@pytest.fixture(scope="module")
def xl(home: Path) -> Path:
    return tiny_diffusion.stable_diffusion_xl(home / "xl")


@pytest.fixture(scope="module")
def flux(home: Path) -> Path:
    return tiny_diffusion.flux(home / "flux")


@pytest.fixture(scope="module")
def flux_2(home: Path) -> Path:
    return tiny_diffusion.flux_2(home / "flux-2")


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


def test_any_size_is_met_to_the_pixel(sd: Path) -> None:
    asked = {"prompt": "a cat", "num_steps": 1, "seed": 1}
    odd, even = answers(engine(sd), asked | {"width": 259, "height": 301}, asked | {"width": 264, "height": 304})
    assert pixels(odd).shape == (301, 259, 3)
    assert_alike(Image.fromarray(pixels(even)[1:302, 2:261].astype(np.uint8)), odd)


def test_large_pictures_are_decoded_in_tiles(flux: Path) -> None:
    size = {"width": 2048, "height": 528}
    found = answers(engine(flux, "flux-1-schnell", options=size), {"prompt": "a", "steps": 1, "seed": 1})[0]
    draw = library(flux)
    asked = size | {"num_inference_steps": 1, "max_sequence_length": 256}
    whole = as_jpeg(draw("a", **asked, generator=seeded(1)).images[0])
    draw.vae.enable_tiling()
    tiled = as_jpeg(draw("a", **asked, generator=seeded(1)).images[0])
    assert apart(found, tiled) < 0.1 < apart(found, whole)


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


def test_work_ends_with_the_last_caller(sd: Path) -> None:
    loaded = engine(sd)
    for id in (1, 2):
        loaded.admit(id, parse(loaded, {"prompt": "a cat", "num_steps": 20}))
    assert [list(loaded.step()) for _ in range(3)] == [[], [], []]
    loaded.drop(1)
    assert list(loaded.step()) == [], "the other one is still wanted"
    loaded.drop(2)
    loaded.drop(99)
    loaded.admit(3, parse(loaded, {"prompt": "a dog", "num_steps": 1}))
    steps = [list(loaded.step()) for _ in range(3)]
    assert [id for step in steps for id, _ in step] == [3]


def test_one_who_leaves_a_group_gets_nothing_and_the_rest_get_theirs(sd: Path) -> None:
    loaded = engine(sd)
    for id in (1, 2, 3):
        loaded.admit(id, parse(loaded, {"prompt": "a cat", "num_steps": 2, "seed": id}))
    loaded.step()
    loaded.drop(2)
    while not (pieces := loaded.step()):
        pass
    assert [id for id, _ in pieces] == [1, 3]


@pytest.mark.parametrize(
    ("fields", "sizes"), [({"max_batch_items": 2}, [2, 2, 1]), ({"max_batch_tokens": 70}, [1] * 5)]
)
def test_groups_keep_the_rows_budget(sd: Path, fields: dict[str, int], sizes: list[int]) -> None:
    loaded = engine(sd, **fields)
    for id in range(5):
        loaded.admit(id, parse(loaded, {"prompt": "a", "num_steps": 1, "seed": id}))
    found: list[int] = []
    while sum(found) < 5:
        found += [len(pieces) for pieces in [loaded.step()] if pieces]
    assert found == sizes


def test_what_fails_in_a_group_is_drawn_again_one_by_one(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode_prompt = StableDiffusionPipeline.encode_prompt

    def fragile(self: Any, prompt: list[str], *args: Any, **more: Any) -> Any:
        if "poison" in prompt:
            raise RuntimeError("the library failed")
        return encode_prompt(self, prompt, *args, **more)

    loaded = engine(sd)
    good = {"prompt": "a cat", "num_steps": 2, "seed": 1}
    alone = answers(loaded, good)[0]
    monkeypatch.setattr(StableDiffusionPipeline, "encode_prompt", fragile)
    first, poison, last = answers(loaded, good, good | {"prompt": "poison"}, good)
    assert isinstance(poison, InferenceFailed)
    assert_alike(first, alone, levels=0)
    assert_alike(last, alone, levels=0)


def test_pictures_that_the_folders_own_checker_flags_are_not_given(tmp_path: Path) -> None:
    loaded = engine(tiny_diffusion.stable_diffusion(tmp_path / "sd", checked=True))
    (answer,) = answers(loaded, {"prompt": "a cat", "num_steps": 1})
    assert isinstance(answer, FlaggedContent)
    assert (answer.status, answer.code) == (400, 3030)


@pytest.mark.parametrize(
    ("model", "shape", "document", "text"),
    [
        ("sd", "stable-diffusion", {"image": list(picture(64, 64)[:-60])}, "'/image': a damaged image"),
        ("flux_2", "flux-2", {"input_image_2": list(picture(64, 64)[:-60])}, "'/input_image_2': a damaged image"),
        ("flux_2", "stable-diffusion", {"image": list(picture(64, 64))}, "'/image': this model does not start from an"),
        ("sd", "flux-2", {"input_image_1": list(picture(64, 64))}, "'/input_image_1': this model does not look at"),
        ("sd", "stable-diffusion", {"width": 1024, "height": 1024}, "'/width' x '/height' must be <= 262144 pixels"),
    ],
)
def test_what_the_model_cannot_do_is_refused_at_once(
    model: str, shape: str, document: dict[str, Any], text: str, request: pytest.FixtureRequest
) -> None:
    loaded = engine(request.getfixturevalue(model), shape, options={"max_pixels": 512 * 512})
    with pytest.raises(BadInput) as found:
        loaded.admit(1, parse(loaded, {"prompt": "a", "width": 256, "height": 256} | document))
    assert text in found.value.detail


def test_half_precision_files_are_taken_if_there_are_no_others(tmp_path: Path, xl: Path) -> None:
    halves = tiny_diffusion.stable_diffusion_xl(tmp_path / "xl", variant="fp16")
    assert not (halves / "unet" / "diffusion_pytorch_model.safetensors").exists()
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 2}
    assert_alike(answers(engine(halves), asked)[0], answers(engine(xl), asked)[0])


def test_attention_under_its_old_names_is_found(tmp_path: Path, sd: Path) -> None:
    old = shutil.copytree(sd, tmp_path / "old")
    weights = old / "vae" / "diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, tensor in load_file(weights).items():
        for new, former in names.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{former}.")
        tensors[name] = tensor
    assert any("proj_attn" in name for name in tensors)
    save_file(tensors, weights, metadata={"format": "pt"})
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 2}
    assert_alike(answers(engine(old), asked)[0], answers(engine(sd), asked)[0], levels=0)


def without_a_tensor(folder: Path, part: str, file: str) -> None:
    tensors = load_file(folder / part / file)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, folder / part / file, metadata={"format": "pt"})


def with_index(folder: Path, **entries: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | entries))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda f: (f / "model_index.json").unlink(), "not a folder of diffusers"),
        (lambda f: (f / "model_index.json").write_text("[]"), "model_index.json is not a JSON object"),
        (lambda f: with_index(f, _class_name="EvilPipeline"), "no pipeline for 'EvilPipeline'"),
        (lambda f: with_index(f, unet=["pipeline_evil", "Unet"]), "unet is of an unknown kind, pipeline_evil.Unet"),
        (lambda f: with_index(f, unet=["diffusers", "load_numpy"]), "unet is of an unknown kind"),
        (lambda f: shutil.rmtree(f / "vae"), "names the part vae, which is not among the files"),
        (lambda f: without_a_tensor(f, "unet", "diffusion_pytorch_model.safetensors"), "unet: the weights do not fit"),
        (lambda f: without_a_tensor(f, "text_encoder", "model.safetensors"), "text_encoder: the weights do not fit"),
    ],
)
def test_a_folder_that_is_not_whole_is_named(sd: Path, tmp_path: Path, spoil: Any, text: str) -> None:
    folder = shutil.copytree(sd, tmp_path / "model")
    spoil(folder)
    with pytest.raises(ConfigError, match=text):
        engine(folder)


def test_an_unknown_scheduler_is_named(sd: Path) -> None:
    with pytest.raises(ConfigError, match=r"options\.scheduler: diffusers has no scheduler 'FluxPipeline'"):
        engine(sd, options={"scheduler": "FluxPipeline"})
