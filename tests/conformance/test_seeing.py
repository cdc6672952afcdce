"""Pictures into words over HTTP: what the official client gets is what transformers gives for the same picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare

from gateway.config import ModelSpec
from gateway.engines.place_finder import PlaceFinder
from gateway.tasks.places import Search
from tests import tiny_places, tiny_seers
from tests.seeing import VARIED, direct, shown, uri
from tests.server import ACCOUNT, Server, gateway, write_models
from tests.tiny_vision import picture

PICTURES = [picture(60 + 10 * (seed % 3), 40 + 8 * (seed % 2), seed) for seed in range(6)]
LLAVA, MOONDREAM, FINDER, CHAT = "@test/llava", "@test/moondream", "@test/finder", "@test/qwen"
TOKENS = 10


@dataclass
class Site:
    """A gateway and the checkpoints that it serves."""

    server: Server
    llava: Path
    qwen: Path
    finder: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    llava, qwen = tiny_seers.seer(home / "llava"), tiny_seers.seer(home / "qwen", "qwen2_5_vl")
    finder = Path(shutil.copytree(llava, home / "finder"))
    tiny_places.detector(finder / "owl")
    exact = "engine: llm, device: cpu, dtype: float32, threads: 1"
    models = write_models(
        home / "models.yaml",
        f"{{name: '{LLAVA}', task: image-to-text, source: 'file:{llava}', {exact}}}",
        f"{{name: '{MOONDREAM}', task: image-to-text, shape: moondream, source: 'file:{llava}', {exact}}}",
        f"{{name: '{FINDER}', task: image-to-text, shape: moondream, source: 'file:{finder}', {exact}, "
        f"options: {{places: owl, places_threshold: 0.01}}}}",
        f"{{name: '{CHAT}', task: text-generation, source: 'file:{qwen}', {exact}}}",
    )
    with gateway("--models", str(models), "--home", str(home), "--offline") as server:
        yield Site(server, llava, qwen, finder)


@pytest.fixture
def client(site: Site) -> Iterator[Cloudflare]:
    with Cloudflare(api_token="any", base_url=site.server.base_url, max_retries=0, timeout=120) as client:
        yield client


def described(client: Cloudflare, index: int) -> str:
    body = {"prompt": f"No. {index}", **VARIED, "max_tokens": TOKENS}
    answer: Any = client.ai.run(LLAVA, account_id=ACCOUNT, image=list(PICTURES[index]), extra_body=body)
    assert list(answer) == ["description"]
    return str(answer["description"]).rstrip("\ufffd")


def test_concurrent_pictures_each_get_the_librarys_description(client: Cloudflare, site: Site) -> None:
    expected = [direct("llava", site.llava, [shown(PICTURES[i], f"No. {i}")], [PICTURES[i]], TOKENS) for i in range(3)]
    with ThreadPoolExecutor(len(PICTURES)) as pool:
        together = list(pool.map(lambda index: described(client, index), range(len(PICTURES))))
    assert together[: len(expected)] == expected
    assert [described(client, index) for index in (3, 4, 5)] == together[3:]


def test_bare_bytes_get_a_description(site: Site) -> None:
    headers = {"Authorization": "Bearer any", "Content-Type": "image/png"}
    answer = httpx.post(site.server.run_url(LLAVA), content=PICTURES[0], headers=headers, timeout=120).json()
    assert answer["success"]
    assert answer["result"]["description"]


def test_a_chat_about_pictures_streams_what_it_says_at_once(client: Cloudflare, site: Site) -> None:
    body = {"messages": [shown("See", PICTURES[1], "and", PICTURES[2])], **VARIED, "max_tokens": 12}
    whole: Any = client.ai.run(CHAT, account_id=ACCOUNT, extra_body=body)
    expected = direct("qwen2_5_vl", site.qwen, body["messages"], PICTURES[1:3], 12)
    assert whole["response"].rstrip("\ufffd") == expected
    headers = {"Authorization": "Bearer any"}
    url = site.server.run_url(CHAT)
    with httpx.stream("POST", url, json=body | {"stream": True}, headers=headers, timeout=120) as answer:
        frames = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: {")]
    texts = [httpx.Response(200, text=frame).json()["response"] for frame in frames]
    assert "".join(texts) == whole["response"]


def test_moondreams_form(client: Cloudflare) -> None:
    body = {"task": "query", "question": "What?", "image": uri(PICTURES[0]), "temperature": 0, "max_tokens": TOKENS}
    answer: Any = client.ai.run(MOONDREAM, account_id=ACCOUNT, extra_body=body)
    assert {name for name, value in answer.items() if value is not None} == {
        "finish_reason",
        "metrics",
        "answer",
        "usage",
    }
    assert answer["metrics"]["output_tokens"] == answer["usage"]["completion_tokens"] == TOKENS
    assert answer["metrics"]["decode_time_ms"] > 0


def test_moondreams_form_streams_what_it_says_at_once(client: Cloudflare, site: Site) -> None:
    body = {"task": "caption", "image": uri(PICTURES[1]), "temperature": 0, "max_tokens": TOKENS}
    whole: Any = client.ai.run(MOONDREAM, account_id=ACCOUNT, extra_body=body)
    with client.ai.with_streaming_response.run(
        MOONDREAM, account_id=ACCOUNT, extra_body=body | {"stream": True}
    ) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    texts = [event["chunk"]["caption"] for event in events if "chunk" in event]
    assert len(texts) > 1
    assert all(later.startswith(text.rstrip("\ufffd")) for text, later in pairwise(texts))
    (end,) = (event for event in events if event.get("status") == "succeeded")
    assert texts[-1] == end["output"][-1]["caption"] == whole["caption"]


def asked_where(client: Cloudflare, index: int, skill: str = "detect", **more: Any) -> Any:
    body = {"task": skill, "image": uri(PICTURES[index]), "target": "a cat", **more}
    return client.ai.run(FINDER, account_id=ACCOUNT, extra_body=body)


def test_places_are_a_detectors_beside_the_words_of_the_model(client: Cloudflare, site: Site) -> None:
    finder = PlaceFinder(ModelSpec(name=FINDER, task="image-to-text", engine="llm"), site.finder / "owl", 0.01)
    expected = [finder.find(Search("detect", data, "a cat", 150)) for data in PICTURES[:3]]
    caption = {"task": "caption", "image": uri(PICTURES[0]), "temperature": 0, "max_tokens": TOKENS}
    alone: Any = client.ai.run(MOONDREAM, account_id=ACCOUNT, extra_body=caption)
    with ThreadPoolExecutor(4) as pool:
        said: Any = pool.submit(client.ai.run, FINDER, account_id=ACCOUNT, extra_body=caption)
        found = list(pool.map(lambda index: asked_where(client, index, stream=True), range(3)))
    assert said.result()["caption"] == alone["caption"]
    for answer, regions in zip(found, expected, strict=True):
        assert len(regions) > 1
        assert [list(place.values()) for place in answer["objects"]] == [
            pytest.approx(list(region.model_dump().values()), abs=1e-4) for region in regions
        ]
        assert (answer["finish_reason"], answer["points"], answer["caption"]) == ("stop", None, None)
        assert answer["metrics"]["input_tokens"] == answer["usage"]["prompt_tokens"] > 0
        assert answer["metrics"]["prefill_time_ms"] > 0


def test_a_point_is_the_centre_of_its_rectangle_and_only_so_many_are_told(client: Cloudflare) -> None:
    boxes = asked_where(client, 0, max_objects=2)["objects"]
    points = asked_where(client, 0, "point", max_objects=2)["points"]
    centres = [((box["x_min"] + box["x_max"]) / 2, (box["y_min"] + box["y_max"]) / 2) for box in boxes]
    assert [(point["x"], point["y"]) for point in points] == [pytest.approx(centre) for centre in centres]
    assert len(points) == 2


@pytest.mark.parametrize(
    ("model", "body", "text"),
    [
        (MOONDREAM, {}, "'/task': this model answers query and caption, not detect"),
        (FINDER, {"target": "cat " * 20}, "'/target': 62 tokens; this model reads at most 16"),
        (FINDER, {"image": uri(PICTURES[0][:-60])}, "'/image': a damaged image"),
    ],
)
def test_what_cannot_be_found_is_5006_and_harms_no_neighbour(
    client: Cloudflare, model: str, body: dict[str, Any], text: str
) -> None:
    wanted = {"task": "detect", "image": uri(PICTURES[0]), "target": "a cat", **body}
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(asked_where, client, 1)
        with pytest.raises(cloudflare.BadRequestError) as found:
            client.ai.run(model, account_id=ACCOUNT, extra_body=wanted)
    (error,) = found.value.errors
    assert error.code == 5006
    assert text in str(error.message)
    assert neighbour.result()["objects"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://example.com/cat.png", "'/messages/0/content/0/image_url/url' must be a data URI"),
        (uri(PICTURES[0][:-60]), "'/messages/0/content/0/image_url/url': a damaged image"),
    ],
    ids=["address", "truncated"],
)
def test_a_bad_picture_is_5006_and_harms_no_neighbour(client: Cloudflare, url: str, text: str) -> None:
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    with ThreadPoolExecutor(2) as pool:
        neighbour = pool.submit(described, client, 0)
        with pytest.raises(cloudflare.BadRequestError) as found:
            client.ai.run(CHAT, account_id=ACCOUNT, extra_body={"messages": [message]})
    (error,) = found.value.errors
    assert error.code == 5006
    assert text in str(error.message)
    assert neighbour.result()
