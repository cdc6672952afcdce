"""Requests whose pictures are at addresses, over every route and form: the model gets the files themselves."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from gateway.app import create_app
from gateway.config import ModelSpec, Settings
from gateway.tasks.image import MAX_PICTURES
from tests.api.conftest import ACCOUNT, BEARER, client_of, row, run_path
from tests.api.remote.pictures import CAT, DOG, Pictures, answer, pictures
from tests.fixtures.engines.shows import digest

SHOWS = "tests.fixtures.engines.shows"
CATS, BOTH = digest(CAT), f"{digest(CAT)} {digest(DOG)}"
LIMIT_BYTES = 10 << 20


def rows() -> list[ModelSpec]:
    seer, see = f"{SHOWS}:Seer", "image-to-text"
    return [
        row("chat", "text-generation", seer),
        row("chat-completion", "text-generation", seer, shape="chat-completion"),
        row("oss", "text-generation", seer, shape="gpt-oss"),
        row("describe", see, seer),
        row("answer", "image-text-to-text", seer),
        row("moondream", see, seer, shape="moondream"),
        row("classify", "image-classification", f"{SHOWS}:Classifier"),
        row("draw-flux-2", "text-to-image", "fake", shape="flux-2"),
        row("draw-stable-diffusion", "text-to-image", "fake", shape="stable-diffusion"),
    ]


@dataclass(frozen=True)
class Served:
    """A gateway that fetches from `site`, and one that fetches nothing."""

    app: FastAPI
    http: httpx.AsyncClient
    closed: httpx.AsyncClient
    site: Pictures


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("remote")
    async with pictures() as site:
        hosts = (f"http://127.0.0.1:{site.port}",)
        app = create_app(Settings(home=folder / "open", grace_s=0.0, media_hosts=hosts), rows())
        closed = create_app(Settings(home=folder / "closed", grace_s=0.0), rows())
        async with (
            app.router.lifespan_context(app),
            closed.router.lifespan_context(closed),
            client_of(app, headers=BEARER, timeout=60) as http,
            client_of(closed, headers=BEARER, timeout=60) as shut,
        ):
            yield Served(app, http, shut, site)


pytestmark = pytest.mark.asyncio(loop_scope="module")


def part(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": url}


def said(answer: httpx.Response) -> str:
    """What the model said, in whichever form."""
    assert answer.status_code == 200, answer.text
    found = answer.json()
    found = found.get("result", found)
    match found:
        case [{"label": text}, *_]:
            return str(text)
        case {"choices": [{"message": {"content": text}}]}:
            return str(text)
        case {"output": [{"content": [{"text": text}]}]}:
            return str(text)
        case _:
            return str(next(found[key] for key in ("response", "description", "answer") if key in found))


def refusal(answer: httpx.Response, code: int = 5006, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["errors"]
    assert error["code"] == code
    return str(error["message"])


def cases(cat: Any, dog: Any) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Path, body and what is said, by a name."""
    asked = [{"role": "user", "content": [{"type": "text", "text": "?"}, part({"url": cat}), part(dog)]}]
    alone = [{"role": "user", "content": part({"url": cat})}]
    openai = f"/client/v4/accounts/{ACCOUNT}/ai/v1"
    items = [
        {"role": "user", "content": [{"type": "input_image", "image_url": cat}]},
        {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_image", "image_url": dog}]},
    ]
    return {
        "messages": (run_path("chat"), {"messages": asked}, BOTH),
        "one part": (run_path("chat"), {"messages": alone}, CATS),
        "image beside": (run_path("chat"), {"image": dog, "messages": alone}, " ".join(reversed(BOTH.split()))),
        "completion": (run_path("chat-completion"), {"messages": asked}, BOTH),
        "named": (run_path("").rstrip("/").removesuffix("/@cf/test"),
                  {"model": "@cf/test/chat", "input": {"messages": asked}}, BOTH),
        "openai": (f"{openai}/chat/completions", {"model": "@cf/test/chat", "messages": asked}, BOTH),
        "responses": (f"{openai}/responses", {"model": "@cf/test/chat", "input": items}, BOTH),
        "responses by run": (run_path("oss"), {"input": items}, BOTH),
        "describe": (run_path("describe"), {"image": cat}, CATS),
        "describe with messages": (run_path("describe"), {"image": dog, "messages": alone},
                                   " ".join(reversed(BOTH.split()))),
        "answer": (run_path("answer"), {"image": cat, "prompt": "?"}, CATS),
        "moondream": (run_path("moondream"), {"image": cat, "question": "?"}, CATS),
        "classify": (run_path("classify"), {"image": cat}, CATS),
    }  # fmt: skip


def uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("name", cases(1, 1))
async def test_an_address_means_what_the_files_own_bytes_mean(served: Served, name: str) -> None:
    here = cases(uri(CAT, "image/png"), uri(DOG, "image/jpeg"))[name]
    there = cases(f"http://127.0.0.1:{served.site.port}/cat.png", f"HTTP://127.0.0.1:{served.site.port}/dog.jpg")[name]
    for path, body, expected in (here, there):
        assert said(await served.http.post(path, json=body)) == expected
    path, body, expected = here
    assert said(await served.closed.post(path, json=body)) == expected


@pytest.mark.parametrize("name", cases(1, 1))
async def test_without_a_list_no_address_is_fetched(served: Served, name: str) -> None:
    before = served.site.connections
    path, body, _ = cases(*[f"http://127.0.0.1:{served.site.port}/cat.png"] * 2)[name]
    answer = await served.closed.post(path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) in [(400, 5006), (400, 5004)]
    assert served.site.connections == before


async def test_many_pictures_come_in_their_order(served: Served) -> None:
    url = f"http://127.0.0.1:{served.site.port}"
    paths = ["/cat.png", "/dog.jpg"] * (MAX_PICTURES // 2)
    body = {"messages": [{"role": "user", "content": [part(f"{url}{path}") for path in paths]}]}
    assert said(await served.http.post(run_path("chat"), json=body)) == " ".join([BOTH] * (MAX_PICTURES // 2))


async def test_too_many_pictures_are_refused_before_any_is_fetched(served: Served) -> None:
    before = served.site.connections
    parts = [part(f"http://127.0.0.1:{served.site.port}/cat.png")] * (MAX_PICTURES + 1)
    answer = await served.http.post(run_path("chat"), json={"messages": [{"role": "user", "content": parts}]})
    assert f"'/messages/0/content/{MAX_PICTURES}/image_url': a request must not have more" in refusal(answer)
    assert served.site.connections == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/notes.txt", "not a PNG, JPEG, WebP, GIF or BMP image"),
        ("/bomb.png", "an image of 100000 x 100000 pixels"),
        ("/gone.png", "its server answers with status 404"),
        ("/endless", f"must not have more than {LIMIT_BYTES} bytes together"),
    ],
)
async def test_what_is_no_picture_within_bounds_is_refused_with_its_place(served: Served, path: str, text: str) -> None:
    served.site.answers |= {
        "/notes.txt": answer(b"<svg/>", "content-type: image/png"),
        "/bomb.png": answer(CAT[:16] + (100_000).to_bytes(4, "big") * 2 + CAT[24:]),
    }
    body = {"image": f"http://127.0.0.1:{served.site.port}{path}"}
    message = refusal(await served.http.post(run_path("classify"), json=body))
    assert "'/image': " in message
    assert text in message


async def test_an_address_beyond_the_list_is_refused_with_its_place(served: Served) -> None:
    content = [{"type": "text", "text": "?"}, part({"url": f"http://localhost:{served.site.port}/cat.png"})]
    answer = await served.http.post(run_path("chat"), json={"messages": [{"role": "user", "content": content}]})
    assert "'/messages/0/content/1/image_url/url': leads to a host that this gateway" in refusal(answer)


async def test_words_that_look_like_addresses_are_left_alone(served: Served) -> None:
    before, url = served.site.connections, f"http://127.0.0.1:{served.site.port}/cat.png"
    call = {"id": "1", "name": "look", "arguments": {"image_url": url}}
    messages = [{"role": "user", "content": url}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert said(await served.http.post(run_path("chat"), json={"prompt": url, "messages": messages})) == ""
    assert served.site.connections == before


@pytest.mark.parametrize("shape", ["flux-2", "stable-diffusion"])
async def test_a_form_that_holds_an_address_in_place_of_a_file_is_refused_by_the_fields_name(
    served: Served, shape: str
) -> None:
    before, name = served.site.connections, {"flux-2": "input_image_0"}.get(shape, "image_b64")
    fields = {"prompt": (None, "a"), name: (None, served.site.url("/cat.png", "127.0.0.1"))}
    message = refusal(await served.http.post(run_path(f"draw-{shape}"), files=fields))
    assert f"'/{name}': an address, where the file itself is expected" in message
    assert served.site.connections == before
