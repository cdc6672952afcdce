"""Who shares a pass, who leaves it, and what a failure in it costs the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from diffusers import (
    StableDiffusionPipeline,
)

from gateway.errors import BadInput, InferenceFailed
from tests.engines.diffusion.drawing import (
    answers,
    assert_alike,
    engine,
    parse,
)
from tests.tiny_vision import picture


def test_work_ends_with_the_last_caller(sd: Path) -> None:
    loaded = engine(sd)
    for id in (1, 2):
        loaded.admit(id, parse(loaded, {"prompt": "a cat", "num_steps": 20}))
    assert [list(loaded.step()) for _ in range(3)] == [[], [], []]
    loaded.drop(1)
    assert list(loaded.step()) == [], "the other one is still wanted"
    loaded.drop(2)
    loaded.drop(99)
    loaded.admit(3, parse(loaded, {"prompt": "a dog", "num_steps": 1}))
    steps = [list(loaded.step()) for _ in range(3)]
    assert [id for step in steps for id, _ in step] == [3]


def test_one_who_leaves_a_group_gets_nothing_and_the_rest_get_theirs(sd: Path) -> None:
    loaded = engine(sd)
    for id in (1, 2, 3):
        loaded.admit(id, parse(loaded, {"prompt": "a cat", "num_steps": 2, "seed": id}))
    loaded.step()
    loaded.drop(2)
    while not (pieces := loaded.step()):
        pass
    assert [id for id, _ in pieces] == [1, 3]


@pytest.mark.parametrize(
    ("fields", "sizes"), [({"max_batch_items": 2}, [2, 2, 1]), ({"max_batch_tokens": 70}, [1] * 5)]
)
def test_groups_keep_the_rows_budget(sd: Path, fields: dict[str, int], sizes: list[int]) -> None:
    loaded = engine(sd, **fields)
    for id in range(5):
        loaded.admit(id, parse(loaded, {"prompt": "a", "num_steps": 1, "seed": id}))
    found: list[int] = []
    while sum(found) < 5:
        found += [len(pieces) for pieces in [loaded.step()] if pieces]
    assert found == sizes


def test_what_fails_in_a_group_is_drawn_again_one_by_one(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode_prompt = StableDiffusionPipeline.encode_prompt

    def fragile(self: Any, prompt: list[str], *args: Any, **more: Any) -> Any:
        if "poison" in prompt:
            raise RuntimeError("the library failed")
        return encode_prompt(self, prompt, *args, **more)

    loaded = engine(sd)
    good = {"prompt": "a cat", "num_steps": 2, "seed": 1}
    alone = answers(loaded, good)[0]
    monkeypatch.setattr(StableDiffusionPipeline, "encode_prompt", fragile)
    first, poison, last = answers(loaded, good, good | {"prompt": "poison"}, good)
    assert isinstance(poison, InferenceFailed)
    assert_alike(first, alone, levels=0)
    assert_alike(last, alone, levels=0)


@pytest.mark.parametrize(
    ("model", "shape", "document", "text"),
    [
        ("sd", "stable-diffusion", {"image": list(picture(64, 64)[:-60])}, "'/image': a damaged image"),
        ("flux_2", "flux-2", {"input_image_2": list(picture(64, 64)[:-60])}, "'/input_image_2': a damaged image"),
        ("flux_2", "stable-diffusion", {"image": list(picture(64, 64))}, "'/image': this model does not start from an"),
        ("sd", "flux-2", {"input_image_1": list(picture(64, 64))}, "'/input_image_1': this model does not look at"),
        ("sd", "stable-diffusion", {"width": 1024, "height": 1024}, "'/width' x '/height' must be <= 262144 pixels"),
    ],
)
def test_what_the_model_cannot_do_is_refused_at_once(
    model: str, shape: str, document: dict[str, Any], text: str, request: pytest.FixtureRequest
) -> None:
    loaded = engine(request.getfixturevalue(model), shape, options={"max_pixels": 512 * 512})
    with pytest.raises(BadInput) as found:
        loaded.admit(1, parse(loaded, {"prompt": "a", "width": 256, "height": 256} | document))
    assert text in found.value.detail
