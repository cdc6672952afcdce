"""What a bench asks: the task itself takes every request, no two are alike, and a seed repeats them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.bench.loads import load_for
from gateway.bench.material import Material
from gateway.bench.media import type_of
from gateway.config import ConfigError
from gateway.tasks import TASKS, Task
from gateway.tasks.audio_header import seconds
from gateway.tasks.image_header import measure
from gateway.tasks.media import vowels

# Asked on routes of their own, by models of other forms.
ELSEWHERE = {("text-embeddings", "openai"), ("text-generation", "responses")}
FORMS = [form for form in TASKS if (form.name, form.shape) not in ELSEWHERE and not form.is_live]


def name(form: Task) -> str:
    return f"{form.name}/{form.shape}"


def taken(form: Task, content: Any) -> Any:
    """The request as the gateway reads it; raises if it would be refused."""
    if isinstance(content, bytes):
        return form.parse_raw(content)
    return (
        form.form_of(content).parse(content) if "multipart" not in form.input.model_fields else form.parse_form(content)
    )


@pytest.mark.parametrize("form", FORMS, ids=name)
def test_every_form_of_every_task_takes_its_load(form: Task) -> None:
    load = load_for(form, Material(seed=1))
    for number in range(3):
        taken(form, load.draft(number).content)


@pytest.mark.parametrize("form", FORMS, ids=name)
def test_no_two_requests_are_alike_and_a_seed_repeats_them(form: Task) -> None:
    first, again, other = (load_for(form, Material(seed)) for seed in (1, 1, 2))
    asked = [first.draft(number) for number in range(8)]
    assert all(asked[at] not in asked[:at] for at in range(len(asked)))
    assert [again.draft(number) for number in range(8)] == asked
    assert other.draft(0) != asked[0]


def test_prompts_differ_from_their_first_words_on() -> None:
    prose = Material(seed=3).prose
    starts = {" ".join(prose.text(number, 2, 4).split()[:2]) for number in range(200)}
    assert len(starts) == 200


def test_runs_with_other_seeds_are_equally_heavy() -> None:
    lengths = [[Material(seed).prose.text(number, 1, 8).count(".") for number in range(50)] for seed in (1, 2)]
    assert lengths[0] == lengths[1]
    assert len(set(lengths[0])) > 1


@pytest.mark.parametrize(
    ("streams", "named"),
    [
        (
            True,
            {
                ("text-generation", shape)
                for shape in ("default", "chat-completion", "chat-completion-native", "gpt-oss")
            },
        )
    ],
)
def test_chat_alone_is_streamed(streams: bool, named: set[tuple[str, str]]) -> None:
    assert {(form.name, form.shape) for form in FORMS if load_for(form, Material(1)).streams is streams} == named


@pytest.mark.parametrize(
    ("task", "shape", "media_type"),
    [
        ("text-generation", None, "application/json"),
        ("automatic-speech-recognition", "whisper", "audio/wav"),
        ("automatic-speech-recognition", "whisper-large-v3-turbo", "application/json"),
        ("image-classification", None, "image/png"),
        ("text-to-image", "flux-2", "multipart/form-data; boundary="),
    ],
)
def test_the_wire_form_is_the_one_that_clients_send(task: str, shape: str | None, media_type: str) -> None:
    request = load_for(TASKS.get(task, shape), Material(1)).request(0)
    assert request.content_type.startswith(media_type)


def test_what_has_a_price_is_known_of_requests() -> None:
    def amounts(task: str, shape: str | None = None) -> Any:
        return load_for(TASKS.get(task, shape), Material(1)).request(4).amounts

    assert amounts("automatic-speech-recognition").audio_s == 8.0
    assert amounts("text-to-speech").characters > 50
    assert amounts("image-classification").images == 1
    assert (amounts("text-to-image").images, amounts("text-to-image").steps) == (1, 20)


def test_a_clip_of_ones_own_is_sent_as_it_is() -> None:
    clip = vowels(0.25)
    load = load_for(TASKS.get("automatic-speech-recognition"), Material(1, audio=clip))
    assert load.request(0).body == load.request(1).body == clip
    assert load.request(0).amounts.audio_s == pytest.approx(0.25)
    assert "your clip" in load.what


@pytest.mark.parametrize(
    ("make", "measured"),
    [
        (lambda material: seconds(material.sound(7)[0]), 8.0),
        (lambda material: measure(material.picture(7)), (512, 512)),
    ],
    ids=["sound", "picture"],
)
def test_media_are_what_they_are_said_to_be(make: Callable[[Material], Any], measured: Any) -> None:
    assert make(Material(5)) == measured


@pytest.mark.parametrize(
    ("start", "media_type"), [(b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"), (b"ID3", "audio/mpeg")]
)
def test_the_type_of_a_clip_follows_its_first_bytes(start: bytes, media_type: str) -> None:
    assert type_of(start + bytes(64)) == media_type


def test_what_is_spoken_over_websocket_has_no_load() -> None:
    with pytest.raises(ConfigError, match="WebSocket alone"):
        load_for(TASKS.get("automatic-speech-recognition", "flux"), Material(1))
