"""Images over HTTP: the official client and plain requests get what transformers gives for the same picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import numpy as np
import pytest
from cloudflare import Cloudflare
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection, pipeline

from tests import tiny_vision
from tests.server import ACCOUNT, Server, gateway, write_models
from tests.tiny_vision import picture

PICTURES = [picture(60 + 10 * (seed % 5), 40 + 8 * (seed % 3), seed, kind="PNG") for seed in range(12)]
CLASSIFY, DETECT, EMBED = "@test/resnet", "@test/detr", "@test/clip"


@dataclass
class Site:
    """A gateway and the checkpoints that it serves."""

    server: Server
    detector: Path
    classifier: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    classifier = tiny_vision.image_classifier(home / "resnet")
    detector = tiny_vision.object_detector(home / "detr")
    embedder = tiny_vision.image_text_embedder(home / "clip")
    exact = "device: cpu, dtype: float32, threads: 1"
    models = write_models(
        home / "models.yaml",
        f"{{name: '{CLASSIFY}', task: image-classification, engine: image_classifier, source: 'file:{classifier}', "
        f"{exact}, preload: true}}",
        f"{{name: '{DETECT}', task: object-detection, engine: object_detector, source: 'file:{detector}', {exact}, "
        "options: {threshold: 0.1}}",
        f"{{name: '{EMBED}', task: multimodal-embeddings, engine: image_text_embedder, source: 'file:{embedder}', "
        f"{exact}}}",
    )
    with gateway("--models", str(models), "--home", str(home), "--offline") as server:
        yield Site(server, detector, classifier)


@pytest.fixture
def client(site: Site) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=site.server.base_url, max_retries=0) as client:
        yield client


def post(site: Site, model: str, body: bytes, kind: str = "application/octet-stream") -> httpx.Response:
    headers = {"Authorization": "Bearer any", "Content-Type": kind}
    return httpx.post(site.server.run_url(model), content=body, headers=headers, timeout=120)


def direct_classes(site: Site, data: bytes) -> dict[str, float]:
    processor = AutoImageProcessor.from_pretrained(site.classifier, backend="pil")
    classify = pipeline("image-classification", model=str(site.classifier), image_processor=processor, device="cpu")
    return {found["label"]: found["score"] for found in classify(Image.open(io.BytesIO(data)), top_k=5)}


def test_the_official_client_sends_numbers(client: Cloudflare, site: Site) -> None:
    answer: Any = client.ai.run(CLASSIFY, account_id=ACCOUNT, image=list(PICTURES[0]))
    assert {item.label: item.score for item in answer} == pytest.approx(direct_classes(site, PICTURES[0]), abs=1e-5)


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "application/x-www-form-urlencoded"])
def test_raw_bytes_are_taken_under_any_media_type(site: Site, kind: str) -> None:
    answer = post(site, CLASSIFY, PICTURES[1], kind).json()
    assert list(answer) == ["result", "success", "errors", "messages"]
    assert len(answer["result"]) == 5
    found = {item["label"]: item["score"] for item in answer["result"]}
    assert found == pytest.approx(direct_classes(site, PICTURES[1]), abs=1e-5)


def test_boxes_over_http_equal_the_librarys(site: Site) -> None:
    detect = pipeline(
        "object-detection",
        model=AutoModelForObjectDetection.from_pretrained(site.detector),
        image_processor=AutoImageProcessor.from_pretrained(site.detector, backend="pil"),
        device="cpu",
    )
    expected = detect(Image.open(io.BytesIO(PICTURES[0])), threshold=0.1)
    result = post(site, DETECT, PICTURES[0]).json()["result"]
    assert result
    assert [list(item) for item in result] == [["label", "score", "box"]] * len(expected)
    scores = [item["score"] for item in result]
    assert scores == pytest.approx(sorted((item["score"] for item in expected), reverse=True), abs=1e-5)
    clipped = [np.clip(list(item["box"].values()), 0, [60, 40, 60, 40]).tolist() for item in expected]
    assert sorted(list(item["box"].values()) for item in result) == sorted(clipped)


def test_concurrent_pictures_of_all_sizes_each_get_their_own_answer(site: Site) -> None:
    alone = [post(site, DETECT, data).json()["result"] for data in PICTURES]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda data: post(site, DETECT, data).json()["result"], PICTURES))
    for one, other in zip(alone, together, strict=True):
        assert [item["box"] for item in one] == [item["box"] for item in other]
        np.testing.assert_allclose([item["score"] for item in one], [item["score"] for item in other], atol=1e-5)


def test_an_image_and_texts_share_a_space(client: Cloudflare) -> None:
    image = base64.b64encode(PICTURES[0]).decode()
    both: Any = client.ai.run(EMBED, account_id=ACCOUNT, image=image, text=["one", "two"])
    texts: Any = client.ai.run(EMBED, account_id=ACCOUNT, extra_body={"text": ["two"]})
    assert both["shape"] == [3, 16]
    assert np.shape(both["data"]) == (3, 16)
    np.testing.assert_allclose(both["data"][2], texts["data"][0], atol=1e-5)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<svg/>", "'/image': not a PNG, JPEG, WebP, GIF or BMP image"),
        (PICTURES[0][:-60], "'/image': a damaged image, which cannot be decoded"),
        (PICTURES[0][:16] + b"\0\0\xea\x60" * 2 + PICTURES[0][24:], "'/image': an image of 60000 x 60000 pixels"),
    ],
    ids=["svg", "truncated", "bomb"],
)
def test_a_bad_image_is_5006_and_harms_no_neighbour(client: Cloudflare, site: Site, data: bytes, text: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        neighbours = [pool.submit(post, site, CLASSIFY, PICTURES[0]) for _ in range(3)]
        with pytest.raises(cloudflare.BadRequestError) as found:
            client.ai.run(CLASSIFY, account_id=ACCOUNT, image=list(data))
    (error,) = found.value.errors
    assert error.code == 5006
    assert text in str(error.message)
    assert [answer.result().status_code for answer in neighbours] == [200] * 3
