"""Image files in, upright RGB pixels out: every format, damage, disguises and bombs."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gateway.engines.images import PILLOWS_LIMIT_PIXELS, decode
from gateway.errors import BadInput
from gateway.tasks.image import MAX_PIXELS
from gateway.tasks.image_header import measure
from tests.tiny_vision import picture

MIB = 1 << 20
# Pillow warns of metadata that it passes over, and reads the picture.
PASSED_OVER = pytest.mark.filterwarnings("ignore::UserWarning")
DAMAGED = "'/image': a damaged image, which cannot be decoded"
UNKNOWN = "'/image': not a PNG, JPEG, WebP, GIF or BMP image"


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colours(width: int = 40, height: int = 24) -> Image.Image:
    return Image.open(io.BytesIO(picture(width, height)))


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (40, 24), colour) for colour in ("red", "lime", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, loop=0)


FILES: dict[str, Callable[[], bytes]] = {
    "png": lambda: saved(colours(), "PNG"),
    "palette png": lambda: saved(colours().quantize(16), "PNG"),
    "grey png": lambda: saved(colours().convert("L"), "PNG"),
    "one bit png": lambda: saved(colours().convert("1"), "PNG"),
    "jpeg": lambda: saved(colours(), "JPEG"),
    "progressive jpeg": lambda: saved(colours(), "JPEG", progressive=True),
    "cmyk jpeg": lambda: saved(colours().convert("CMYK"), "JPEG"),
    "lossy webp": lambda: saved(colours(), "WEBP"),
    "lossless webp": lambda: saved(colours(), "WEBP", lossless=True),
    "extended webp": lambda: saved(colours().convert("RGBA"), "WEBP", exif=Image.Exif().tobytes()),
    "gif": lambda: saved(colours(), "GIF"),
    "bmp": lambda: saved(colours(), "BMP"),
    "jpeg with two pictures": lambda: saved(colours(), "MPO", save_all=True, append_images=[colours()]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_pillow_reads_it_and_its_header_is_understood(name: str) -> None:
    data = FILES[name]()
    assert measure(data) == (40, 24)
    image = decode(data)
    assert image.mode == "RGB"
    assert np.array_equal(image, Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_honoured(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(colours(), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert expected.size == ((40, 24) if orientation < 5 else (24, 40))
    assert np.array_equal(decode(data), expected)


@PASSED_OVER
@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II", b"Exif\0\0" + b"\xff" * 99])
def test_a_picture_with_broken_exif_is_read_as_it_stands(exif: bytes) -> None:
    data = saved(colours(), "JPEG", exif=exif)
    assert np.array_equal(decode(data), decode(saved(colours(), "JPEG")))


def test_of_a_transparent_palette_the_colours_stay() -> None:
    picture = colours().quantize(8)
    data = saved(picture, "PNG", transparency=bytes(range(0, 256, 32)))
    assert np.array_equal(decode(data), picture.convert("RGB"))


def test_sixteen_bits_of_grey_keep_their_greys() -> None:
    greys = np.arange(0, 65536, 64, np.uint16).reshape(32, 32)
    assert np.array_equal(np.asarray(decode(saved(Image.fromarray(greys), "PNG")))[..., 0], greys >> 8)


def test_of_an_animated_gif_the_first_frame_counts() -> None:
    assert np.asarray(decode(animation("GIF")))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_animations_are_refused(kind: str) -> None:
    with pytest.raises(BadInput, match=r"^'/picture': an animation, not a single picture$"):
        decode(animation(kind), field="/picture")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    data = saved(NOISE, kind)
    with pytest.raises(BadInput) as found:
        decode(data[: int(len(data) * share)])
    assert found.value.detail == DAMAGED


STRANGE = {
    "nothing": b"",
    "zeros": bytes(5000),
    "random": np.random.default_rng(0).bytes(5000),
    "text": b"hello world " * 100,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "svg with xml": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "pdf": b"%PDF-1.7\n" * 10,
    "tiff": saved(colours(), "TIFF"),
    "icon": saved(colours(), "ICO"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
    "magic alone": b"\x89PNG\r\n\x1a\n",
    "start of a jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "fill bytes without end": b"\xff\xd8" + b"\xff" * 100_000,
    "segments without end": b"\xff\xd8" + b"\xff\xe1\0\x02" * 100_000,
    "no pixels": struct.pack(">8s4x4sII", b"\x89PNG\r\n\x1a\n", b"IHDR", 0, 10),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_image_is_refused(name: str) -> None:
    assert measure(STRANGE[name]) is None
    with pytest.raises(BadInput) as found:
        decode(STRANGE[name])
    assert found.value.detail == UNKNOWN


@PASSED_OVER
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=6)), max_size=4))
def test_a_mangled_file_is_a_picture_or_refused(name: str, edits: list[tuple[float, bytes]]) -> None:
    data = bytearray(FILES[name]())
    for where, replacement in edits:
        at = int(where * len(data))
        data[at : at + len(replacement)] = replacement
    with contextlib.suppress(BadInput):
        assert decode(bytes(data), max_pixels=10_000).mode == "RGB"


def test_the_bound_is_inclusive() -> None:
    assert decode(picture(50, 40), max_pixels=2000).size == (50, 40)
    with pytest.raises(BadInput, match=r"^'/image': an image of 50 x 40 pixels; the most is 1999 pixels$"):
        decode(picture(50, 40), max_pixels=1999)


def test_a_line_of_pixels_is_refused_before_a_model_enlarges_it() -> None:
    assert decode(picture(100, 2)).size == (100, 2)
    with pytest.raises(BadInput, match=r"^'/image': an image of 2 x 101 pixels; one side may be at most 50 times the"):
        decode(picture(2, 101))


@pytest.mark.parametrize("limit", [None, PILLOWS_LIMIT_PIXELS + 1])
def test_nothing_is_decoded_once_pillows_own_limit_is_lifted(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Image.MAX_IMAGE_PIXELS == PILLOWS_LIMIT_PIXELS > MAX_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(RuntimeError, match="MAX_IMAGE_PIXELS"):
        decode(picture(5, 5))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(width: int, height: int, declared: tuple[int, int] | None = None, extra: bytes = b"") -> bytes:
    """A real picture of one grey, compressed a thousandfold, whose header may declare another size."""
    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *(declared or (width, height)), 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_of_two_minds() -> bytes:
    """The screen is 1 x 1, the frame on it 65535 x 65535."""
    return b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"


BOMBS = {
    "declared": lambda: picture(1, 1)[:16] + struct.pack(">II", 60_000, 60_000) + picture(1, 1)[24:],
    "real": lambda: png_bomb(20_000, 20_000),
    "smaller than its content": lambda: png_bomb(20_000, 4_000, declared=(100, 100)),
    "larger than its content": lambda: png_bomb(10, 10, declared=(8_000, 7_900)),
    "comment": lambda: png_bomb(10, 10, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 * MIB)))),
    "profile": lambda: png_bomb(10, 10, extra=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 * MIB)))),
    "gif": gif_of_two_minds,
    "webp canvas": lambda: (
        b"RIFF\x64\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff\xff\xff" * 2 + b"ANIM\6\0\0\0" + bytes(90)
    ),
    "bmp": lambda: struct.pack("<2s12xIIiiHH", b"BM", 40, 54, 30_000, -30_000, 1, 24) + bytes(1000),
}
CHILD = """
import resource, sys
from gateway.engines.images import decode
from gateway.errors import BadInput
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    text = decode(data).size
except BadInput as error:
    text = error
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, text)
"""


def in_a_process_of_its_own(path: Path, data: bytes) -> tuple[int, str]:
    """By how many bytes the process grew, and what it said."""
    path.write_bytes(data)
    child = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
    growth_kib, _, text = child.stdout.strip().partition(" ")
    return int(growth_kib) * 1024, text


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory(tmp_path: Path, name: str) -> None:
    growth_bytes, text = in_a_process_of_its_own(tmp_path / "bomb", BOMBS[name]())
    # "profile" and "smaller" may be read: what they would blow up to is ignored.
    assert text.startswith("'/image': ") or text in ("(10, 10)", "(100, 100)")
    assert growth_bytes < (64 * MIB if name != "larger than its content" else 4 * MAX_PIXELS + 64 * MIB)


def test_the_largest_picture_taken_needs_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    growth_bytes, text = in_a_process_of_its_own(tmp_path / "large", png_bomb(8_000, 8_000))
    assert text == "(8000, 8000)"
    assert growth_bytes < 6 * MAX_PIXELS + 64 * MIB
