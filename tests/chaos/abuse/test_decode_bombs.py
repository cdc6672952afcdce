"""Decompression and decode bombs: small files that claim, or hold, far more than a server has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from tests.chaos.abuse.conftest import CHATS, DRAWS, DRAWS_2, HEARS, LISTENS, PHOTO, SEES
from tests.chaos.abuse.site import Site
from tests.engines import media
from tests.engines import test_audio as sounds
from tests.engines import test_images as pictures
from tests.seeing import uri

RAW = {"content-type": "application/octet-stream"}
LARGER = "larger than its content"  # within the bound: it costs what an honest picture of that size does
IGNORED = ("smaller than its content", "profile")  # what they would blow up to is never looked at


def apng(frames: int, side: int) -> bytes:
    """An animated picture that claims so many frames (APNG specification, acTL)."""
    whole = pictures.png_bomb(side, side)
    count = pictures.chunk(b"acTL", frames.to_bytes(4, "big") + bytes(4))
    return whole[:33] + count + whole[33:]


def huge_jpeg() -> bytes:
    """A JPEG file whose frame header says 65535 x 65535 (ITU T.81, B.2.2)."""
    whole = pictures.saved(pictures.NOISE, "JPEG")
    frame = whole.index(b"\xff\xc0")
    return whole[: frame + 5] + b"\xff\xff\xff\xff" + whole[frame + 9 :]


PICTURES: dict[str, Callable[[], bytes]] = {
    **{name: make for name, make in pictures.BOMBS.items() if name not in (LARGER, *IGNORED)},
    "animated png": lambda: apng(2**31 - 1, 2_000),
    "jpeg": huge_jpeg,
}


class TestPictures:
    @pytest.mark.parametrize("name", PICTURES)
    def test_a_picture_bomb_is_refused_in_every_form(self, site: Site, name: str) -> None:
        bomb = PICTURES[name]()
        site.refuses(SEES, content=bomb, headers=RAW)
        shown = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri(bomb)}}]}]
        site.refuses(CHATS, json={"messages": shown, "max_tokens": 1})

    @pytest.mark.parametrize("name", IGNORED)
    def test_what_hides_in_a_small_picture_is_never_unpacked(self, site: Site, name: str) -> None:
        with site.unmoved():
            assert site.post(SEES, content=pictures.BOMBS[name](), headers=RAW).status_code in (200, 400)

    @pytest.mark.parametrize("field", ["image", "mask"])
    def test_pictures_in_forms_are_measured_before_a_worker_sees_them(self, site: Site, field: str) -> None:
        bomb = PICTURES["declared"]()
        message = site.refuses(DRAWS, files={"prompt": (None, "a"), "image": PHOTO, field: bomb})
        assert f"'/{field}'" in message
        assert "60000 x 60000" in message

    def test_many_pictures_in_one_conversation_have_one_bound(self, site: Site) -> None:
        part = {"type": "image_url", "image_url": {"url": uri(PHOTO)}}
        messages = [{"role": "user", "content": [part] * 1000}]
        site.refuses(CHATS, json={"messages": messages, "max_tokens": 1})

    def test_reference_pictures_are_counted_and_measured(self, site: Site) -> None:
        site.refuses(DRAWS_2, files={"prompt": (None, "a"), "input_image_0": PICTURES["declared"]()})


SOUNDS: dict[str, Callable[[], bytes]] = {
    **{f"hours of opus in {kind}": partial(media.long_silence, 3 * 3600, kind) for kind in ("ogg", "mp4", "matroska")},
    "hours of chained ogg": lambda: media.encoded(sounds.silence(20), "opus", 8_000) * 300,
    "mp4 index": sounds.BOMBS["mp4 index"],
    "mp4 tracks": partial(media.mp4_index_bomb, 600_000, 200),
    "mp4 tracks as many as are allowed": partial(media.mp4_index_bomb, 600_000, 8),
    "mp4 tables as long as are allowed": partial(media.mp4_index_bomb, 170_000, 8),
    "channels": lambda: media.wav(np.zeros(32_000 * 2, np.int16), 8_000, channels=32_000),
}


class TestSounds:
    @pytest.mark.parametrize("name", SOUNDS)
    def test_a_sound_bomb_is_refused(self, site: Site, name: str) -> None:
        message = site.refuses(HEARS, content=SOUNDS[name](), headers=RAW)
        assert "'/audio'" in message

    def test_a_file_of_too_many_tracks_is_refused_by_their_number(self, site: Site) -> None:
        message = site.refuses(HEARS, content=media.mp4_index_bomb(1, 9), headers=RAW)
        assert "must not have more than 8 tracks" in message

    def test_a_header_that_claims_hours_costs_what_the_file_holds(self, site: Site) -> None:
        claims = media.wav(media.tone(1.0, 16_000), 16_000, claimed_bytes=2**32 - 1)
        with site.unmoved():
            assert site.post(HEARS, content=claims, headers=RAW).status_code == 200

    @pytest.mark.parametrize("query", ["sample_rate=1&encoding=linear16", "encoding=linear16&channels=100000"])
    def test_samples_without_a_header_have_sane_rates(self, site: Site, query: str) -> None:
        answer = site.post(f"{LISTENS}?{query}", content=bytes(1000), headers=RAW)
        assert answer.status_code == 400, answer.text
