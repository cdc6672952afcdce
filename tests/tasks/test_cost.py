"""What requests are estimated to take, in the units of their tasks."""

from __future__ import annotations

import base64
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tasks import TASKS
from gateway.tasks.audio_header import ASSUMED_BYTES_PER_S, seconds
from gateway.tasks.cost import Unit
from gateway.tasks.drawing import ASSUMED_SIDE, ASSUMED_STEPS
from gateway.tasks.generation import UNBOUNDED_OUTPUT_TOKENS
from gateway.tasks.media import picture
from tests.engines.media import encoded, mp3_with_cover, tone, video, wav

CHAT = {"messages": [{"role": "user", "content": "x" * 400}]}
TWO_S = wav(tone(2.0, 16_000), 16_000)


@pytest.mark.parametrize(
    ("task", "shape", "body", "cost"),
    [
        ("text-generation", "default", {"prompt": "x" * 400, "max_tokens": 50}, {"tokens": 152}),
        ("text-generation", "default", {"prompt": "x" * 400}, {"tokens": 358}),
        ("text-generation", "chat-completion", {**CHAT, "max_tokens": 50, "n": 3}, {"tokens": 456}),
        ("text-generation", "chat-completion", {**CHAT, "n": 2}, {"tokens": 2 * (102 + UNBOUNDED_OUTPUT_TOKENS)}),
        ("text-generation", "responses", {"input": "x" * 400, "max_output_tokens": 50}, {"tokens": 152}),
        ("text-embeddings", "bge", {"text": ["x" * 400, "x"]}, {"tokens": 104}),
        ("text-embeddings", "qwen3-embedding", {"queries": ["x"] * 3, "instruction": "y" * 80}, {"tokens": 78}),
        ("text-embeddings", "openai", {"model": "m", "input": ["x" * 40] * 5}, {"tokens": 60}),
        ("reranking", "default", {"query": "x" * 40, "contexts": [{"text": "y" * 80}] * 3}, {"tokens": 102}),
        ("text-classification", "default", {"text": "x" * 40}, {"tokens": 12}),
        ("translation", "indictrans2", {"text": ["x" * 40] * 2, "target_language": "hin_Deva"}, {"tokens": 24}),
        ("text-to-speech", "melotts", {"prompt": "x" * 77}, {"characters": 77}),
        ("text-to-speech", "aura", {"text": "x" * 77}, {"characters": 77}),
        ("text-to-image", "flux-1-schnell", {"prompt": "x", "steps": 3}, {"pixel_steps": 3 * ASSUMED_SIDE**2}),
        ("image-classification", "default", {"image": list(picture(64, 48))}, {"pixels": 64 * 48}),
        ("object-detection", "default", {"image": list(picture(64, 48))}, {"pixels": 64 * 48}),
        ("automatic-speech-recognition", "whisper", {"audio": list(TWO_S)}, {"audio_seconds": 2}),
        (
            "image-to-text",
            "moondream",
            {"task": "point", "image": base64.b64encode(picture(64, 48)).decode(), "target": "a cat"},
            {"tokens": 3, "pixels": 64 * 48},
        ),
    ],
)
def test_a_request_costs_what_its_task_is_measured_in(
    task: str, shape: str, body: dict[str, Any], cost: dict[str, int]
) -> None:
    assert TASKS.get(task, shape).parse(body).cost() == cost


@pytest.mark.parametrize(
    ("shape", "fields", "pixels", "steps"),
    [
        ("stable-diffusion", {"width": 512, "height": 256, "num_steps": 5}, 512 * 256, 5),
        ("stable-diffusion", {"image": list(picture(64, 48)), "num_steps": 5}, 64 * 48, 5),
        ("phoenix", {"width": 0}, 1024 * 1024, 25),
        ("lucid-origin", {}, 1120 * 1120, ASSUMED_STEPS),
    ],
)
def test_a_picture_costs_its_pixels_once_a_step(shape: str, fields: dict[str, Any], pixels: int, steps: int) -> None:
    input = TASKS.get("text-to-image", shape).parse({"prompt": "x", **fields})
    assert input.cost() == {"pixel_steps": pixels * steps}


def test_pictures_to_look_at_cost_as_well() -> None:
    fields = {"prompt": "x", "steps": "4", "width": "256", "height": "256", "input_image_0": picture(64, 80)}
    input = TASKS.get("text-to-image", "flux-2").parse_form(fields)
    assert input.cost() == {"pixel_steps": 4 * (256 * 256 + 64 * 80)}


def test_every_task_tells_the_cost_of_its_canary_in_known_units() -> None:
    for task in TASKS:
        cost = task.parse(task.canary).cost()
        assert cost, task.name
        assert set(cost) <= set(get_args(Unit)), task.name
        assert all(isinstance(amount, int) and amount > 0 for amount in cost.values() if amount), task.name


@pytest.mark.parametrize("encoding", ["linear16", "mulaw", "alaw", "flac", "opus", "mp3"])
@pytest.mark.parametrize("length_s", [0.5, 3.0, 40.0])
def test_the_length_of_a_real_audio_file_is_read_from_its_header(encoding: str, length_s: float) -> None:
    data = encoded(tone(length_s), encoding)
    assert seconds(data) == pytest.approx(length_s, abs=0.15)


def test_a_cover_is_not_taken_for_sound() -> None:
    data = mp3_with_cover(tone(3.0), picture(640, 480) + bytes(200_000))
    assert seconds(data) == pytest.approx(3.0, abs=0.15)


def test_a_file_that_claims_less_than_it_holds_is_taken_for_what_it_holds() -> None:
    assert seconds(wav(tone(9.0, 8000), 8000, claimed_bytes=0)) == pytest.approx(9.0)


MAGICS = [b"RIFF....WAVEfmt ", b"RIFX", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"OggS" + bytes(24) + b"OpusHead", b""]


@given(st.sampled_from(MAGICS), st.binary(max_size=300), st.integers(0, 70_000))
def test_whatever_a_header_says_its_length_is_a_number(magic: bytes, data: bytes, padding: int) -> None:
    length_s = seconds(magic + data + bytes(padding))
    assert 0 <= length_s < float("inf")


RANDOM = np.random.default_rng(0).bytes(4096)


@pytest.mark.parametrize(
    "data",
    [b"", b"R", RANDOM, video(1, sound=True)]
    + [magic + rest for magic in (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb") for rest in (b"", bytes(64))]
    + [magic + RANDOM for magic in (b"RIFF", b"OggS", b"ID3")]
    + [b"RIFF....WAVEfmt " + bytes(64), b"OggS" + bytes(20) + b"\x01vorbis" + bytes(40)]
    + [b"OggS" + b"\x01" * 24 + b"OpusHead" + bytes(70_000)],
)
def test_what_tells_no_length_is_guessed_by_its_size(data: bytes) -> None:
    assert seconds(data) == len(data) / ASSUMED_BYTES_PER_S
