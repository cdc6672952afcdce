"""Forms: text parts with numbers, files, and bodies that try to hurt."""

from __future__ import annotations

import base64
import tracemalloc
from typing import Any

import pytest

from gateway.api.multipart import MAX_HEADER_BYTES, MAX_HEADERS, MAX_PARTS, decode_form
from gateway.errors import BadInput
from tests.api.conftest import ACCOUNT, Served
from tests.tiny_vision import picture

TYPE = "multipart/form-data; boundary=X"
PHOTO = picture(64, 64)


def part(name: str, content: bytes, more: str = "", headers: str = "") -> bytes:
    head = f'--X\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--X--\r\n"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (form(part("prompt", b"42")), {"prompt": "42"}),
        (form(part("prompt", "ä\r\nb".encode())), {"prompt": "ä\r\nb"}),
        (form(part("a", b"1"), part("a", b"2")), {"a": "2"}),
        (form(part("f", b"1", '; filename="x.txt"', "Content-Type: text/plain\r\n")), {"f": b"1"}),
        (form(part("f", b"1", '; filename=""')), {"f": b"1"}),
        (form(part("f", b"\xff\xd8")), {"f": b"\xff\xd8"}),
        (form(part("f", b"--X", '; filename="a;b\\"c"')), {"f": b"--X"}),
        (form(part("empty", b"")), {"empty": ""}),
        (form(part("a", b"1")) + b"epilogue" * 1000, {"a": "1"}),
        (b"--X--\r\n", {}),
    ],
)
async def test_parts_become_fields(body: bytes, fields: dict[str, Any]) -> None:
    assert decode_form(TYPE, body) == fields


@pytest.mark.parametrize("kind", ['multipart/form-data; boundary="X"', "Multipart/Form-Data;charset=utf-8;boundary=X"])
async def test_the_boundary_may_be_written_in_any_way(kind: str) -> None:
    assert decode_form(kind, form(part("a", b"1"))) == {"a": "1"}


WHOLE = form(part("prompt", b"42"), part("f", PHOTO, '; filename="x.png"'))


@pytest.mark.parametrize("end", [0, 1, 10, 60, 70, len(WHOLE) // 2, len(WHOLE) - 3])
async def test_a_body_that_breaks_off_is_refused(end: int) -> None:
    with pytest.raises(BadInput, match="the body is not multipart/form-data"):
        decode_form(TYPE, WHOLE[:end])


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("multipart/form-data", WHOLE, "needs a boundary of 1 to 70 characters"),
        ("multipart/form-data; boundary=", WHOLE, "needs a boundary of 1 to 70 characters"),
        (f"multipart/form-data; boundary={'X' * 71}", WHOLE, "needs a boundary of 1 to 70 characters"),
        ("multipart/mixed; boundary=X", WHOLE, "multipart bodies must be multipart/form-data"),
        ("multipart/form-data; boundary=Y", WHOLE, "the body is not multipart/form-data"),
        (TYPE, b'{"prompt": "x"}', "the body is not multipart/form-data"),
        (TYPE, form(*[part("a", b"")] * (MAX_PARTS + 1)), f"more than {MAX_PARTS} parts"),
        (TYPE, form(part("a", b"", headers="A: b\r\n" * MAX_HEADERS)), "Maximum header count exceeded"),
        (TYPE, form(part("a", b"", headers=f"A: {'b' * MAX_HEADER_BYTES}\r\n")), "Maximum header size exceeded"),
        (TYPE, form(part("a" * MAX_HEADER_BYTES, b"")), "Maximum header size exceeded"),
        (TYPE, b"--X\r\nA: b\r\n\r\n1\r\n--X--\r\n", "part 1 of the body has no name"),
        (TYPE, b"--X\r\n\r\n1\r\n--X--\r\n", "part 1 of the body has no name"),
        (TYPE, b"--X\r\nContent-Disposition: form-data\r\n\r\n1\r\n--X--\r\n", "part 1 of the body has no name"),
        (TYPE, form(part("a", b"")).replace(b'"a"', b'"\xff"'), "part 1 of the body has no name"),
    ],
)
async def test_what_is_not_a_form_is_named(kind: str, body: bytes, text: str) -> None:
    with pytest.raises(BadInput) as found:
        decode_form(kind, body)
    assert text in found.value.detail


@pytest.mark.parametrize(
    "flood",
    [
        b"\r\n" * (1 << 20),
        form(part("a", b"")) + b"\r\n" * (1 << 20),
        form(part("a", b"\r\n--" * (1 << 19))),
        form(part("a", b"\r" * (1 << 20))),
        b"--X\r\n" * (1 << 18),
        b"--X\r\nA" + b":" * (1 << 20),
        form(*[part("a", b"x" * 30_000)] * MAX_PARTS),
    ],
    ids=["line ends", "epilogue", "near boundaries", "returns", "bare parts", "header", "same name"],
)
async def test_a_flood_takes_no_more_memory_than_its_own_size(flood: bytes) -> None:
    tracemalloc.start()
    try:
        decode_form(TYPE, flood)
    except BadInput:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * len(flood) + (1 << 20)


@pytest.mark.asyncio(loop_scope="session")
async def test_text_parts_are_numbers_where_the_task_has_numbers(served: Served) -> None:
    fields = {"prompt": "42", "width": " 512", "height": "768", "num_steps": "3", "seed": "", "guidance": "7.5"}
    answer = await served.run("draw", files={name: (None, value) for name, value in fields.items()})
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == b"42 512x768 3 None"


@pytest.mark.asyncio(loop_scope="session")
async def test_files_and_base64_are_images(served: Served) -> None:
    fields = {"prompt": (None, "x"), "width": (None, "256"), "height": (None, "256")}
    text = (None, base64.b64encode(PHOTO))
    answer = await served.run("draw", files={**fields, "image": ("a.png", PHOTO), "mask": ("b.png", PHOTO)})
    assert answer.content == f"x 256x256 20 None {len(PHOTO)} {len(PHOTO)}".encode()
    answer = await served.run("draw", files={**fields, "image_b64": text})
    assert answer.content == f"x 256x256 20 None {len(PHOTO)}".encode()
    answer = await served.run("draw-flux-2", files={**fields, "input_image_0": ("a", PHOTO), "input_image_2": text})
    image = base64.b64decode(answer.json()["result"]["image"])
    assert image == f"x 256x256 None None {len(PHOTO)} {len(PHOTO)}".encode()


@pytest.mark.asyncio(loop_scope="session")
async def test_large_arrays_are_images_too(served: Served) -> None:
    photo = picture(400, 400)
    assert len(photo) > 20_000
    document = {"prompt": "x", "image": list(photo), "mask": list(photo), "width": 256, "height": 256}
    answer = await served.run("draw", json=document)
    assert answer.content == f"x 256x256 20 None {len(photo)} {len(photo)}".encode()


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"width": "512"}, "required properties at '/' are 'prompt'"),
        ({"prompt": "x", "width": "wide"}, "Type mismatch of '/width', 'string' not in 'integer'"),
        ({"prompt": "x", "width": "512.5"}, "Type mismatch of '/width', 'number' not in 'integer'"),
        ({"prompt": "x", "width": "[512]"}, "Type mismatch of '/width', 'string' not in 'integer'"),
        ({"prompt": "x", "seed": "9" * 400}, "Type mismatch of '/seed', 'string' not in 'integer'"),
        ({"prompt": "x", "guidance": "NaN"}, "Type mismatch of '/guidance', 'string' not in 'number'"),
        ({"prompt": "x", "width": "100"}, "'/width' must be >= 256"),
        ({"prompt": ""}, "Length of '/prompt' must be >= 1"),
    ],
)
async def test_bad_fields_are_5006_by_their_own_names(served: Served, fields: dict[str, str], text: str) -> None:
    for model in ("draw", "draw-flux-2"):
        answer = await served.run(model, files={name: (None, value) for name, value in fields.items()})
        error = answer.json()["errors"][0]
        assert (answer.status_code, error["code"]) == (400, 5006)
        assert text in error["message"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_form_larger_than_a_body_may_be_is_413(served: Served) -> None:
    answer = await served.run("draw-flux-2", files={"input_image_0": b"x" * (11 << 20)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, 3006)


@pytest.mark.asyncio(loop_scope="session")
async def test_large_arrays_beside_a_models_name_are_images_too(served: Served) -> None:
    photo = list(picture(700, 700))
    assert len(photo) > 20_000
    fields = {"prompt": "x", "image": photo, "width": 256, "height": 256}
    url = f"/client/v4/accounts/{ACCOUNT}/ai/run"
    answer = await served.http.post(url, json={"model": "@cf/test/draw", "input": fields})
    assert answer.content == f"x 256x256 20 None {len(photo)}".encode()
