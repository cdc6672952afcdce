"""What the tasks that put pictures into words take, and what they make of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.errors import BadBase64, BadInput
from gateway.tasks import TASKS, Piece, Usage
from gateway.tasks.generation import Generation
from gateway.tasks.image_to_text import CAPTION
from gateway.tasks.media import picture
from gateway.tasks.moondream import CAPTIONS
from gateway.tasks.places import Search

LLAVA = TASKS.get("image-to-text")
BOTH = TASKS.get("image-text-to-text")
MOONDREAM = TASKS.get("image-to-text", "moondream")
PNG = picture()
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()


def asked(task: Any, /, **body: Any) -> Generation:
    generation: Generation = task.parse(body).generation()
    return generation


@pytest.mark.parametrize("image", [list(PNG), base64.b64encode(PNG).decode(), URI])
@pytest.mark.parametrize("task", [LLAVA, BOTH])
def test_a_picture_in_each_of_its_forms(task: Any, image: Any) -> None:
    generation = asked(task, image=image, prompt="What?")
    assert (generation.images, generation.prompt, generation.default_tokens) == ((PNG,), "What?", 512)


def test_bare_bytes_are_given_a_caption() -> None:
    generation = LLAVA.parse_raw(PNG).generation()  # type: ignore[attr-defined]
    assert (generation.images, generation.prompt) == ((PNG,), CAPTION)


def test_every_parameter_counts() -> None:
    sampling = {"temperature": 2.0, "top_p": 0.5, "top_k": 7, "seed": 0, "repetition_penalty": 1.5}
    sampling |= {"frequency_penalty": -1.0, "presence_penalty": 1.0, "max_tokens": 9, "raw": True, "ignore_eos": True}
    generation = asked(LLAVA, image=URI, **sampling)
    assert {name: getattr(generation, name) for name in sampling} == sampling


def test_messages_count_before_a_prompt() -> None:
    generation = asked(BOTH, image=URI, prompt="x", messages=[{"role": "user", "content": "Hi"}])
    assert [message.text() for message in generation.messages] == ["Hi"]


@pytest.mark.parametrize(
    ("task", "body", "detail"),
    [
        (LLAVA, {"prompt": "x"}, "required properties at '/' are 'image'"),
        (LLAVA, {"image": "aGVsbG8="}, "'/image': not a PNG, JPEG, WebP, GIF or BMP image"),
        (LLAVA, {"image": URI, "temperature": 6}, "'/temperature' must be <= 5"),
        (LLAVA, {"image": URI, "max_tokens": 0}, "'/max_tokens' must be >= 1"),
        (LLAVA, {"image": URI, "top_k": 1001}, "'/top_k' must be <= 1000"),
        (BOTH, {"image": URI}, "oneOf at '/' not met"),
        (MOONDREAM, {"task": "point"}, "are 'image' for the task point"),
        (MOONDREAM, {"task": "detect", "image": URI, "target": ""}, "Length of '/target' must be >= 1"),
        (MOONDREAM, {"task": "detect", "image": URI, "target": "x" * 1001}, "Length of '/target' must be <= 1000"),
        (MOONDREAM, {"task": "detect", "image": URI, "max_objects": 0}, "'/max_objects' must be >= 1"),
        (MOONDREAM, {"task": "draw"}, "'/task' must be one of"),
        (MOONDREAM, {"question": ""}, "Length of '/question' must be >= 1"),
        (MOONDREAM, {"question": "?", "max_tokens": 28_673}, "'/max_tokens' must be <= 28672"),
        (MOONDREAM, {"question": "?", "temperature": 2.1}, "'/temperature' must be <= 2"),
        (MOONDREAM, {"question": "?", "max_objects": 501}, "'/max_objects' must be <= 500"),
        (MOONDREAM, {"task": "caption"}, "are 'image' for the task caption"),
        (MOONDREAM, {"task": "caption", "image": "https://example.com/a.png"}, "'/image': must be a data URI"),
        (MOONDREAM, {"task": "caption", "image": URI, "caption_length": "huge"}, "'/caption_length' must be one of"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(task: Any, body: dict[str, Any], detail: str) -> None:
    with pytest.raises(BadInput) as caught:
        task.parse(body)
    assert detail in caught.value.detail


def test_what_is_not_base64_is_5004() -> None:
    with pytest.raises(BadBase64):
        BOTH.parse({"image": "data:image/png;base64,%%%", "prompt": "x"})


@pytest.mark.parametrize("length", list(CAPTIONS))
def test_moondream_captions_have_three_lengths(length: str) -> None:
    generation = asked(MOONDREAM, task="caption", image=URI, caption_length=length)
    assert (generation.prompt, generation.images) == (CAPTIONS[length], (PNG,))


def test_moondream_is_asked_with_the_defaults_of_its_schema() -> None:
    generation = asked(MOONDREAM, image=URI)
    assert (generation.prompt, generation.images, generation.think) == ("What's in this image?", (PNG,), True)
    assert (generation.temperature, generation.top_p, generation.default_tokens) == (0.5, 0.9, 8192)
    assert asked(MOONDREAM, question="Why?").images == ()


@pytest.mark.parametrize("reasoning", [True, False])
def test_moondreams_answer_has_its_timings_and_what_was_asked_for(reasoning: bool) -> None:
    usage = Usage(7, 2, prefill_s=0.25, decode_s=0.5)
    pieces = [Piece(reasoning="hm"), Piece(text="A cat"), Piece(finish_reason="stop", usage=usage)]
    input = MOONDREAM.parse({"task": "query", "question": "What?", "image": URI, "reasoning": reasoning})
    assert MOONDREAM.collect is not None
    result = MOONDREAM.render(MOONDREAM.collect(pieces, input))
    metrics = {"input_tokens": 7, "output_tokens": 2, "prefill_time_ms": 250, "decode_time_ms": 500, "ttft_ms": 250}
    assert result == {
        "finish_reason": "stop",
        "metrics": metrics,
        "answer": "A cat",
        "caption": None,
        "points": None,
        "objects": None,
        "reasoning": {"text": "hm", "grounding": []} if reasoning else None,
        "usage": usage.as_dict(),
    }


@pytest.mark.parametrize(
    ("skill", "expected"),
    [
        ("point", {"points": [{"x": 0.5, "y": 0.75}], "objects": None}),
        ("detect", {"points": None, "objects": [{"x_min": 0.25, "y_min": 0.5, "x_max": 0.75, "y_max": 1.0}]}),
    ],
)
def test_moondreams_places_are_points_or_rectangles_and_never_streamed(skill: str, expected: dict[str, Any]) -> None:
    input = MOONDREAM.parse({"task": skill, "image": URI, "target": "a dog", "max_objects": 3, "stream": True})
    assert not input.stream
    assert input.search() == Search(skill, PNG, "a dog", 3)
    place = {"x_min": 0.25, "y_min": 0.5, "x_max": 0.75, "y_max": 1.0}
    piece = Piece(finish_reason="stop", usage=Usage(4, prefill_s=0.5), extra={"places": [place]})
    assert MOONDREAM.collect is not None
    result = MOONDREAM.render(MOONDREAM.collect([piece], input))
    assert {name: result[name] for name in expected} == expected
    assert (result["answer"], result["caption"], result["reasoning"]) == (None, None, None)
    assert result["metrics"]["prefill_time_ms"] == 500


def test_a_question_is_no_search() -> None:
    assert MOONDREAM.parse({"question": "?", "image": URI}).search() is None
