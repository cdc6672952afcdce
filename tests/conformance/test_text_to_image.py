"""Pictures over HTTP: the official client and forms get what diffusers draws, and leaving stops the work."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from cloudflare import Cloudflare
from diffusers import DiffusionPipeline
from PIL import Image

from tests import tiny_diffusion
from tests.server import ACCOUNT, Server, gateway, write_models
from tests.tiny_vision import picture
from tests.waiting import eventually

SD, FLUX, FLUX_2 = "@test/sd", "@test/flux-1", "@test/flux-2"
# JPEG turns a difference in the last digit into one of a whole step of its own.
JPEG_LEVELS = 12
HEADERS = {"Authorization": "Bearer any"}


@dataclass(frozen=True)
class Site:
    """A gateway and the checkpoints that it serves."""

    server: Server
    folders: dict[str, Path]

    def post(self, model: str, **request: Any) -> httpx.Response:
        return httpx.post(self.server.run_url(model), headers=HEADERS, timeout=120, **request)

    def drawn(self, model: str, prompt: str, seed: int, **more: Any) -> Image.Image:
        """What diffusers draws."""
        generator = torch.Generator("cpu").manual_seed(seed)
        image: Image.Image = _library(self.folders[model])(prompt=prompt, generator=generator, **more).images[0]
        return image


@cache
def _library(folder: Path) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    folders = {
        SD: tiny_diffusion.stable_diffusion(home / "sd"),
        FLUX: tiny_diffusion.flux(home / "flux-1"),
        FLUX_2: tiny_diffusion.flux_2(home / "flux-2"),
    }
    shapes = {
        SD: "stable-diffusion",
        FLUX: "flux-1-schnell, options: {width: 256, height: 256}",
        FLUX_2: "flux-2, options: {steps: 2, fixed: [steps]}",
    }
    rows = (
        f"{{name: '{name}', task: text-to-image, engine: diffusion, source: 'file:{folder}', shape: {shapes[name]}, "
        "device: cpu, dtype: float32, threads: 1}"
        for name, folder in folders.items()
    )
    models = write_models(home / "models.yaml", *rows)
    with gateway("--models", str(models), "--home", str(home), "--offline") as server:
        yield Site(server, folders)


@pytest.fixture
def client(site: Site) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=site.server.base_url, max_retries=0) as client:
        yield client


def pixels(image: bytes | Image.Image) -> Any:
    return np.asarray(Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image, np.int16)


def assert_alike(found: bytes, expected: Image.Image, levels: int = 2) -> None:
    assert pixels(found).shape == pixels(expected).shape
    assert pixels(expected).std() > 10, "a plain picture would prove nothing"
    assert np.abs(pixels(found) - pixels(expected)).max() <= levels


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return Image.open(buffer)


def test_stable_diffusion_answers_with_the_bytes_of_a_png(client: Cloudflare, site: Site) -> None:
    document: Any = {"prompt": "a cat", "num_steps": 2, "seed": 7, "guidance": 5, "negative_prompt": "dogs"}
    raw = client.ai.with_raw_response.run(SD, account_id=ACCOUNT, **document)
    assert raw.headers["content-type"] == "image/png"
    expected = site.drawn(SD, "a cat", 7, num_inference_steps=2, guidance_scale=5, negative_prompt="dogs")
    assert_alike(raw.read(), expected)


def test_flux_1_answers_with_base64_of_a_jpeg(client: Cloudflare, site: Site) -> None:
    answer: Any = client.ai.run(FLUX, account_id=ACCOUNT, prompt="a cat", extra_body={"seed": 7})
    image = base64.b64decode(answer["image"])
    assert image.startswith(b"\xff\xd8\xff")
    expected = site.drawn(FLUX, "a cat", 7, num_inference_steps=4, width=256, height=256, max_sequence_length=256)
    assert_alike(image, as_jpeg(expected), JPEG_LEVELS)


def test_flux_2_takes_a_form_with_images(site: Site) -> None:
    photo = picture(96, 64, seed=1)
    form = {"prompt": "42", "width": "256", "height": "272", "seed": "7"}
    answer = site.post(FLUX_2, data=form, files={"input_image_1": ("photo.png", photo, "image/png")})
    assert list(answer.json()) == ["result", "success", "errors", "messages"]
    expected = site.drawn(
        FLUX_2, "42", 7, image=[Image.open(io.BytesIO(photo))], num_inference_steps=2, width=256, height=272
    )
    assert_alike(base64.b64decode(answer.json()["result"]["image"]), as_jpeg(expected), JPEG_LEVELS)
    nested = site.post(FLUX_2, json={"multipart": {"body": {"prompt": "42", "width": 256, "height": 272, "seed": 7}}})
    assert nested.json()["success"]


def test_concurrent_requests_of_all_kinds_each_get_their_own_picture(site: Site) -> None:
    asked: list[dict[str, Any]] = [
        {"prompt": f"picture {seed}", "seed": seed, "num_steps": 2 + seed % 2, "width": 256 + 64 * (seed % 3 == 0)}
        for seed in range(9)
    ]
    forms: list[dict[str, Any]] = [{name: (None, str(value)) for name, value in one.items()} for one in asked]
    with ThreadPoolExecutor(18) as pool:
        by_json = list(pool.map(lambda one: site.post(SD, json=one), asked))
        by_form = list(pool.map(lambda one: site.post(SD, files=one), forms))
    for one, *answers in zip(asked, by_json, by_form, strict=True):
        expected = site.drawn(
            SD, one["prompt"], one["seed"], num_inference_steps=one["num_steps"], width=one["width"], height=256
        )
        for answer in answers:
            assert_alike(answer.content, expected)


@pytest.mark.parametrize(
    ("model", "request_", "text"),
    [
        (FLUX, {"json": {"prompt": "x" * 2049}}, "Length of '/prompt' must be <= 2048"),
        (FLUX, {"json": {"prompt": "x", "steps": 9}}, "'/steps' must be <= 8"),
        (FLUX_2, {"json": {"prompt": "x"}}, "required properties at '/' are 'multipart'"),
        (FLUX_2, {"files": {"prompt": (None, "x"), "width": (None, "2000")}}, "'/width' must be <= 1920"),
        (
            FLUX_2,
            {"files": {"prompt": (None, "x"), "input_image_0": picture(513, 64)}},
            "'/input_image_0': an image of 513 x 64 pixels; its sides must have 64 to 512",
        ),
        (SD, {"json": {"prompt": "x", "num_steps": 21}}, "'/num_steps' must be <= 20"),
        (SD, {"json": {"prompt": "x", "image": list(picture(64, 64)[:-60])}}, "'/image': a damaged image"),
    ],
)
def test_bad_requests_are_5006_with_the_field(site: Site, model: str, request_: Any, text: str) -> None:
    answer = site.post(model, **request_)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, 5006)
    assert text in error["message"]


def test_a_caller_who_leaves_frees_the_worker_at_the_next_step(site: Site) -> None:
    small = {"prompt": "a cat", "num_steps": 1, "seed": 1}
    expected = site.post(SD, json=small).content
    body = b'{"prompt":"a cat","num_steps":20,"width":1280,"height":1280}'
    head = f"POST {site.server.run_url(SD)} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer any\r\n"
    with socket.create_connection(("127.0.0.1", site.server.port)) as leaving:
        leaving.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        assert eventually(lambda: running(site.server) == 1)
    # Twenty such steps take several times as long as this waits.
    assert httpx.post(site.server.run_url(SD), headers=HEADERS, json=small, timeout=30).content == expected


def running(server: Server) -> int:
    models = httpx.get(f"http://127.0.0.1:{server.port}/ready").json()["models"]
    return next(int(model["running"]) for model in models if model["name"] == SD)
