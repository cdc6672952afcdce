"""Models that see answer as transformers does when it is asked directly, alone and beside others."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.engines.llm import Engine
from gateway.engines.llm.pictures import picture_bytes
from gateway.errors import BadInput
from gateway.tasks.image import MAX_PICTURES
from tests import tiny, tiny_seers
from tests.engines.llm.streams import Conversation, Told, ask, load
from tests.seeing import VARIED, direct, shown, uri
from tests.tiny_vision import picture

SHOWN = [picture(60, 40, 1), picture(33, 70, 2, kind="JPEG"), picture(64, 64, 3, kind="WEBP")]


@dataclass
class Seer:
    """One family's checkpoint and the engine over it."""

    kind: str
    files: Path
    engine: Engine


@pytest.fixture(scope="module", params=list(tiny_seers.KINDS))
def seer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seer:
    files = tiny_seers.seer(tmp_path_factory.mktemp(request.param), request.param)
    return Seer(request.param, files, load(files, dtype="float32", threads=1, prefix_cache="off"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load(tiny_seers.seer(tmp_path_factory.mktemp("llava")), dtype="float32", threads=1)


CONVERSATIONS: list[list[dict[str, Any]]] = [
    [shown(SHOWN[0], "What is it?")],
    [shown("First ", SHOWN[1], " and then ", SHOWN[2])],
    [shown(SHOWN[2], "A"), shown("Yes", role="assistant"), shown("And ", SHOWN[0], "?")],
]
FILES = [[SHOWN[0]], SHOWN[1:], [SHOWN[2], SHOWN[0]]]


def test_answers_equal_the_librarys_alone_and_in_company(seer: Seer) -> None:
    bodies = [{"messages": messages, **VARIED, "max_tokens": 12 + 6 * i} for i, messages in enumerate(CONVERSATIONS)]
    expected = [
        direct(seer.kind, seer.files, messages, files, 12 + 6 * i)
        for i, (messages, files) in enumerate(zip(CONVERSATIONS, FILES, strict=True))
    ]
    blind = {"prompt": "no picture at all", "temperature": 1, "seed": 3, "max_tokens": 25}
    alone = ask(seer.engine, **blind)
    together = Conversation(seer.engine)
    numbers = [together.admit(**blind)]
    for body in bodies:
        together.step()
        numbers.append(together.admit(**body))
    told = together.finish(*numbers)
    assert [one.text.rstrip("\ufffd") for one in told[1:]] == expected
    assert told[0] == alone


def test_what_is_seen_counts(seer: Seer) -> None:
    settings = {"temperature": 1, "seed": 1, "max_tokens": 20}
    texts = {ask(seer.engine, messages=[shown(data, "What?")], **settings).text for data in SHOWN}
    assert len(texts) == len(SHOWN)


def test_the_tokens_of_pictures_are_counted_and_bounded(seer: Seer) -> None:
    told = ask(seer.engine, messages=[shown(SHOWN[0], "Hi")], max_tokens=1)
    words = ask(seer.engine, messages=[shown("Hi")], max_tokens=1)
    assert told.usage is not None
    assert words.usage is not None
    assert told.usage.prompt_tokens > words.usage.prompt_tokens


def told_of(engine: Engine, **body: Any) -> Told:
    return ask(engine, temperature=0, max_tokens=12, **body)


def test_the_own_image_field_is_a_picture_of_the_last_turn(llava: Engine) -> None:
    expected = told_of(llava, messages=[shown(SHOWN[0], "Hi")])
    assert told_of(llava, prompt="Hi", image=list(SHOWN[0])) == expected
    assert told_of(llava, prompt="Hi", image=uri(SHOWN[0])) == expected
    assert told_of(llava, messages=[{"role": "user", "content": "Hi"}], image=uri(SHOWN[0])) == expected
    raw = told_of(llava, prompt="<|user|><image>\nHi</s><|assistant|>", raw=True, image=uri(SHOWN[0]))
    assert raw == expected


def test_a_raw_prompt_without_a_place_has_its_picture_in_front(llava: Engine) -> None:
    placed = told_of(llava, prompt="<image>\nHi", raw=True, image=uri(SHOWN[0]))
    assert told_of(llava, prompt="Hi", raw=True, image=uri(SHOWN[0])) == placed


AT = "/messages/0/content/1/image_url"


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        ({"image_url": {"url": "https://example.com/a.png"}}, f"'{AT}/url' must be a data URI"),
        ({"image_url": "file:///etc/passwd"}, f"'{AT}/url' must be a data URI"),
        ({"image_url": {"url": "data:image/png,abc"}}, f"'{AT}/url' must be a data URI in base64"),
        ({"image_url": {"url": "data:image/png;base64,%%%"}}, f"'{AT}/url' must be a data URI in base64"),
        ({"image_url": {"url": uri(b"<svg/>")}}, f"'{AT}/url': not a PNG, JPEG, WebP, GIF or BMP image"),
        ({"image_url": {"url": uri(SHOWN[0][:-60])}}, f"'{AT}/url': a damaged image"),
        (
            {"image_url": {"url": uri(SHOWN[0][:16] + b"\0\0\xea\x60" * 2 + SHOWN[0][24:])}},
            f"'{AT}/url': an image of 60000 x 60000 pixels",
        ),
        ({"image_url": {"url": "/image"}}, f"'{AT}/url' must be a data URI"),
        ({"type": "image"}, f"'{AT}' is required in a part of type 'image'"),
        ({"type": "text", "text": "<image>"}, "'/messages' has 1 pictures, but <image> is in it 2 times"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(llava: Engine, part: dict[str, Any], detail: str) -> None:
    first = {"type": "image_url", "image_url": {"url": uri(SHOWN[0])}}
    with pytest.raises(BadInput) as caught:
        Conversation(llava).admit(messages=[{"role": "user", "content": [first, {"type": "image_url", **part}]}])
    assert detail in caught.value.detail
    assert llava.step() == []


@pytest.mark.parametrize("data", ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n", "aGVs\r\nbG8="])
def test_a_pictures_base64_may_be_broken_into_lines(data: str) -> None:
    assert picture_bytes(f"data:image/png;base64,{data}", AT) == b"hello"


def test_too_many_pictures_are_refused(llava: Engine) -> None:
    with pytest.raises(BadInput, match=f"must not have more than {MAX_PICTURES} pictures"):
        Conversation(llava).admit(messages=[shown(*[SHOWN[0]] * (MAX_PICTURES + 1))])


def test_pictures_have_a_bound_together(llava: Engine) -> None:
    large = io.BytesIO()
    Image.new("RGB", (6000, 5400)).save(large, "PNG")
    with pytest.raises(BadInput, match="'/messages/0/content/1/image_url/url': an image of 6000 x 5400 pixels"):
        Conversation(llava).admit(messages=[shown(large.getvalue(), large.getvalue())])


def test_a_model_that_does_not_see_says_so(tmp_path: Path) -> None:
    engine = load(tiny.chat_model(tmp_path), dtype="float32", threads=1)
    with pytest.raises(BadInput, match="'/messages/0/content/0/image_url/url': this model does not take pictures"):
        Conversation(engine).admit(messages=[shown(SHOWN[0], "Hi")])
    with pytest.raises(BadInput, match="'/image': this model does not take pictures"):
        Conversation(engine).admit(prompt="Hi", image=uri(SHOWN[0]))
