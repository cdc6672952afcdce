"""The summariser gives what transformers gives, whatever shares the batch."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BartForConditionalGeneration

from gateway.config import ModelSpec
from gateway.engines.summarizer import Engine
from gateway.tasks import TASKS
from tests import tiny, tiny_text

TASK = TASKS.get("summarization")
MIN_LENGTH = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text.summarizer(tmp_path_factory.mktemp("summarizer") / "model")


def engine(files: Path, **fields: Any) -> Engine:
    fields = {"dtype": "float32", "device": "cpu"} | fields
    return Engine(ModelSpec(name="@local/x", task=TASK.name, engine="summarizer", **fields), TASK, files)


def bodies(count: int, *lengths: int) -> list[dict[str, Any]]:
    """Texts of 1 to 100 letters, shorter and longer than the window, with `max_length` in turn from `lengths`."""
    source = random.Random(0)
    return [
        {"input_text": "".join(source.choices(tiny.LETTERS, k=source.randint(1, 100))), "max_length": length}
        for length, _ in zip(lengths * count, range(count), strict=False)
    ]


def summarize(engine: Engine, bodies: list[dict[str, Any]]) -> list[str]:
    return [output.summary for output in engine.run([TASK.parse(body) for body in bodies])]


def reference(files: Path, body: dict[str, Any]) -> str:
    tokenizer = AutoTokenizer.from_pretrained(files, local_files_only=True)
    model = BartForConditionalGeneration.from_pretrained(files, local_files_only=True).eval()
    window = tiny_text.EMBED_WINDOW
    encoded = tokenizer(
        body["input_text"], return_tensors="pt", truncation=True, max_length=window, return_token_type_ids=False
    )
    with torch.inference_mode():
        ids = model.generate(**encoded, max_length=body["max_length"], min_length=min(MIN_LENGTH, body["max_length"]))
    assert ids.shape[1] <= body["max_length"]
    return str(tokenizer.decode(ids[0], skip_special_tokens=True)).strip()


def test_summaries_of_mixed_lengths_equal_the_library_one_by_one(folder: Path) -> None:
    asked = bodies(15, 20, 5, 40)
    expected = [reference(folder, body) for body in asked]
    assert len(set(expected)) > 8, "summaries too alike to tell"
    assert summarize(engine(folder), asked) == expected


def test_a_batch_of_one_equals_a_batch_of_many(folder: Path) -> None:
    loaded, asked = engine(folder), bodies(16, 20)
    assert summarize(loaded, asked) == [summarize(loaded, [body])[0] for body in asked]


@pytest.mark.parametrize(("asked", "least", "most"), [(1, 1, 1), (5, 1, 4), (20, MIN_LENGTH - 1, 19), (10**9, 7, 63)])
def test_max_length_bounds_the_summary_within_what_the_model_can(
    folder: Path, asked: int, least: int, most: int
) -> None:
    (output,) = engine(folder).run([TASK.parse({"input_text": "abc def", "max_length": asked})])
    assert least <= output.usage.completion_tokens <= most


def test_text_beyond_the_window_does_not_count(folder: Path) -> None:
    start = "abcdefgh" * 8
    first, second = engine(folder).run(
        [TASK.parse({"input_text": start + more, "max_length": 20}) for more in ("", "zyx" * 1000)]
    )
    assert first.summary == second.summary
    assert second.usage.prompt_tokens == tiny_text.EMBED_WINDOW
