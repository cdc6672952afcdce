"""When pages run out on OpenVINO streams wait, are read again and answer all the same; in the end all are free."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.openvino import OpenVinoModel
from gateway.engines.llm.pages import Pages
from gateway.engines.llm.sampling import Sampling
from tests import tiny_gguf
from tests.engines.llm.streams import load
from tests.engines.llm.token_streams import run


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.chat_gguf(tmp_path_factory.mktemp("tiny") / "model.gguf")


def model_of(file: Path, *, pages: int | None = None, prefix_cache: str = "off") -> OpenVinoModel:
    """On `pages` pages, or as many as there is memory for."""
    engine = load(file, options={"backend": "openvino"}, prefix_cache=prefix_cache, threads=1)
    model: OpenVinoModel = engine._backend._model  # type: ignore[attr-defined]
    if pages is not None:
        schedule = pool(model)
        schedule.pages = Pages(pages, schedule.pages.page_tokens, 0 if prefix_cache == "off" else pages)
    return model


def pool(model: OpenVinoModel):  # type: ignore[no-untyped-def]
    return model._stepper.schedule  # type: ignore[attr-defined]


@pytest.mark.parametrize(("pages", "prefix_cache"), [(6, "off"), (9, "shared")])
def test_streams_for_which_there_is_no_page_wait_and_are_answered(file: Path, pages: int, prefix_cache: str) -> None:
    chance = Random(0)
    streams = [
        ([chance.randrange(5, 200) for _ in range(20 + 9 * id)], Decoding(Sampling(40, temperature=0), ignore_eos=True))
        for id in range(8)
    ]
    roomy, tight = model_of(file), model_of(file, pages=pages, prefix_cache=prefix_cache)
    expected = [run(roomy, stream)[0].ids for stream in streams]
    assert [told.ids for told in run(tight, *streams)] == expected
    assert pool(tight).pages.left == pages


def test_two_hundred_streams_of_which_some_leave_give_all_pages_back(file: Path) -> None:
    model, chance = model_of(file, pages=40, prefix_cache="account"), Random(1)
    running: set[int] = set()
    ended = 0
    for id in range(200):
        prompt = [chance.randrange(5, 200) for _ in range(chance.randrange(1, 90))]
        model.add(id, Prompt(prompt), Decoding(Sampling(chance.randrange(1, 30), seed=id)))
        running.add(id)
        for _ in range(chance.randrange(3)):
            over = {one for one, advance in model.step() if advance.finish_reason}  # type: ignore[union-attr]
            running -= over
            ended += len(over)
        if chance.random() < 0.3:
            model.drop(leaver := chance.choice(sorted(running)))
            running.discard(leaver)
    while running:
        over = {one for one, advance in model.step() if advance.finish_reason}  # type: ignore[union-attr]
        running -= over
        ended += len(over)
    assert ended > 100
    assert not model.step()
    assert pool(model).pages.left == 40
