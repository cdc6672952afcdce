"""Neurons: the price list's formulas, on figures that the service itself was seen to give or publishes beside it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from gateway.properties import Price
from gateway.tasks import TASKS, Piece, Usage
from gateway.tasks.amounts import Amounts
from gateway.tasks.media import vowels
from gateway.tasks.neurons import Tariff, neurons_text
from gateway.tasks.speech_recognition import Transcript, TranscriptionInfo
from gateway.tasks.text_to_speech import SpeechOutput
from gateway.tasks.turn_detection import TurnOutput

MILLION = 1_000_000
KIMI = {"per M input tokens": 0.95, "per M output tokens": 4.0, "per M cached input tokens": 0.16}
GEMMA = {"per M input tokens": 0.1, "per M output tokens": 0.3}
SCHNELL = {"per 512 by 512 tile": 5.28e-05, "per step": 0.0001056}
FLUX_2_DEV = {"per input 512 by 512 tile, per step": 0.00021, "per output 512 by 512 tile, per step": 0.00041}
NOVA = {"per audio minute": 0.0052, "per audio minute (WebSocket)": 0.0092}
KLEIN_4B = {"per input 512 by 512 tile": 5.9e-05, "per output 512 by 512 tile": 0.000287}
KLEIN_9B = {"per first MP": 0.015, "per subsequent MP": 0.002, "per input image MP": 0.002}


def neurons(prices: dict[str, float], amounts: Amounts) -> float | None:
    return Tariff([Price(unit=unit, price=price) for unit, price in prices.items()]).neurons(amounts)


@pytest.mark.parametrize(
    ("prices", "amounts", "expected"),
    [
        pytest.param(GEMMA, Amounts(input_tokens=147, output_tokens=0), 1.33636, id="seen: a prompt of 147 tokens"),
        pytest.param(GEMMA, Amounts(input_tokens=0, output_tokens=1), 0.0272727, id="seen: one token of an answer"),
        pytest.param(GEMMA, Amounts(input_tokens=147, output_tokens=16), 1.7727272, id="seen: a whole answer"),
        pytest.param(KIMI, Amounts(input_tokens=MILLION, output_tokens=0), 86363.64, id="tokens in"),
        pytest.param(KIMI, Amounts(input_tokens=0, output_tokens=MILLION), 363636.36, id="tokens out"),
        pytest.param(
            KIMI, Amounts(input_tokens=MILLION, cached_tokens=MILLION, output_tokens=0), 14545.45, id="tokens cached"
        ),
        pytest.param(
            GEMMA,
            Amounts(input_tokens=MILLION, cached_tokens=MILLION, output_tokens=0),
            9090.91,
            id="cached tokens without a price of their own",
        ),
        pytest.param({"per M input tokens": 0.003}, Amounts(input_tokens=MILLION), 272.73, id="reranker"),
        pytest.param({"per audio minute": 0.00051}, Amounts(audio_s=60.0), 46.36, id="whisper turbo, a minute"),
        pytest.param({"per audio minute": 0.0052}, Amounts(audio_s=30.0), 236.36, id="nova-3, half a minute"),
        pytest.param(NOVA, Amounts(audio_s=30.0), 236.36, id="nova-3 over HTTP"),
        pytest.param(NOVA, Amounts(audio_s=0.0, live_audio_s=30.0), 418.18, id="nova-3, live"),
        pytest.param({"per audio minute": 0.0052}, Amounts(audio_s=0.0, live_audio_s=30.0), 236.36, id="one price"),
        pytest.param({"per 1k characters": 0.015}, Amounts(characters=1000), 1363.64, id="aura-1"),
        pytest.param({"per image": 2.51e-06}, Amounts(images=1), 0.22818, id="resnet-50"),
        pytest.param({"per inference request": 2.51e-06}, Amounts(), 0.22818, id="resnet-50, by another name"),
        pytest.param(SCHNELL, Amounts(steps=4, picture=(1024, 1024)), 57.6, id="schnell by its list"),
        pytest.param(SCHNELL, Amounts(steps=4, picture=(1025, 512)), 52.8, id="a tile that is begun counts"),
        pytest.param(FLUX_2_DEV, Amounts(steps=2, picture=(512, 512), references=((512, 512),)), 112.73, id="dev"),
        pytest.param(KLEIN_4B, Amounts(picture=(1024, 1024), references=()), 104.36, id="klein 4b, no input"),
        pytest.param(KLEIN_4B, Amounts(picture=(512, 512), references=((64, 64), (512, 512))), 36.82, id="klein 4b"),
        pytest.param(KLEIN_9B, Amounts(picture=(1024, 768)), 1363.64, id="klein 9b, within a megapixel"),
        pytest.param(KLEIN_9B, Amounts(picture=(1920, 1024), references=((512, 512),)), 1727.27, id="klein 9b"),
        pytest.param({"per step": 0.0}, Amounts(steps=20), 0.0, id="free"),
        pytest.param({"per step": 0.0}, Amounts(), 0.0, id="free, however many steps it was"),
    ],
)
def test_what_an_amount_costs(prices: dict[str, float], amounts: Amounts, expected: float) -> None:
    assert neurons(prices, amounts) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("prices", "amounts"),
    [
        pytest.param([], Amounts(input_tokens=1), id="no price"),
        pytest.param([Price(unit="per blink", price=1)], Amounts(input_tokens=1), id="a unit of the row's own"),
        pytest.param([Price(unit="per image", price=1, currency="EUR")], Amounts(images=1), id="another currency"),
        pytest.param([Price(unit="per step", price=1)], Amounts(images=1), id="an amount that is not known"),
        pytest.param(
            [Price(unit="per M input tokens", price=1), Price(unit="per blink", price=1)],
            Amounts(input_tokens=1),
            id="one of two units unknown",
        ),
    ],
)
def test_nothing_is_told_rather_than_too_little(prices: list[Price], amounts: Amounts) -> None:
    assert Tariff(prices).neurons(amounts) is None


@pytest.mark.parametrize(
    ("neurons", "text"), [(172.8, "172.80"), (0.0, "0.00"), (1.3363636363, "1.336364"), (0.0053636, "0.005364")]
)
def test_the_header_is_a_decimal_number(neurons: float, text: str) -> None:
    assert neurons_text(neurons) == text


def transcript(seconds: float, others: int = 0) -> Transcript:
    info = TranscriptionInfo(language="en", language_probability=1, duration=seconds, duration_after_vad=seconds / 2)
    return Transcript(transcription_info=info, segments=[], others=[transcript(seconds) for _ in range(others)])


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


FLUX_2_REQUEST = {"multipart": {"body": {"prompt": "a", "input_image_1": png(128, 64)}}}
SOUND = vowels(0.5)
WINDOW = {"audio": SOUND, "window": {"known_s": 0}}


@pytest.mark.parametrize(
    ("task", "shape", "request_", "output", "expected"),
    [
        ("text-generation", None, {"prompt": "a"}, Piece(usage=Usage(9, 4, 3)), Amounts(9, 3, 4)),
        ("text-generation", None, {"prompt": "a"}, Piece(), Amounts()),
        ("automatic-speech-recognition", "whisper", {"audio": SOUND}, transcript(90.0), Amounts(audio_s=90.0)),
        ("automatic-speech-recognition", "nova-3", {"audio": SOUND}, transcript(9.0, 1), Amounts(audio_s=18.0)),
        ("automatic-speech-recognition", "nova-3", WINDOW, transcript(9.0), Amounts(audio_s=0.0)),
        ("text-to-speech", "aura", {"text": "héllo"}, SpeechOutput(audio=b""), Amounts(characters=5)),
        (
            "text-to-speech",
            "melotts",
            {"prompt": "hi"},
            Piece(usage=Usage(audio_s=1.5)),
            Amounts(characters=2, audio_s=1.5),
        ),
        (
            "text-to-image",
            "flux-1-schnell",
            {"prompt": "a", "steps": 3},
            Piece(data=png(320, 256)),
            Amounts(images=1, steps=3, picture=(320, 256)),
        ),
        (
            "text-to-image",
            "flux-2",
            FLUX_2_REQUEST,
            Piece(data=png(512, 512), usage=Usage(steps=28)),
            Amounts(images=1, steps=28, picture=(512, 512), references=((128, 64),)),
        ),
        ("image-classification", None, {"image": list(png(8, 8))}, None, Amounts(images=1)),
        ("voice-activity-detection", None, {"audio": "AAAA"}, TurnOutput.of(0.5, 9.0), Amounts(audio_s=9.0)),
    ],
)
def test_what_each_task_measures(task: str, shape: str | None, request_: Any, output: Any, expected: Amounts) -> None:
    form = TASKS.get(task, shape)
    input = form.input.model_validate(request_) if shape in ("flux-2", "nova-3") else form.parse(request_)
    assert form.measure(input, output) == expected
