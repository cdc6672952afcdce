"""The transformers backend gives what `generate` gives, alone and in company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList

from gateway.engines.llm import Engine
from gateway.errors import BadInput, ContextExceeded, LoraUnsupported
from tests import tiny
from tests.engines.llm.streams import Conversation, Told, ask, ask_together, load

# The way to keep keys and values, the family, and its further settings.
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("merged", "llama", {}),
    ("merged", "qwen2", {}),
    # A cache that forgets cannot be padded and merged: these streams run one by one.
    ("merged", "mistral", {"sliding_window": 16}),
    ("paged", "llama", {}),
    ("paged", "qwen3", {"head_dim": 8}),
    ("paged", "mistral", {"sliding_window": 16}),
]
PROMPTS = ["Hello", "A prompt that is a good deal longer than the one before it, so rows are padded. ", "日本 😀", "x"]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(kind[:2]))
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def files(kind: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp(kind[1]), kind[1], **kind[2])


@pytest.fixture(scope="module")
def engine(kind: Any, files: Path) -> Engine:
    options = {"cache": kind[0]}
    return load(files, dtype="float32", threads=1, prefix_cache="off", max_streams=4, options=options)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load(tiny.chat_model(tmp_path_factory.mktemp("one")), dtype="float32", threads=1)


class Spent(LogitsProcessor):
    """Frequency and presence penalties as OpenAI defines them."""

    def __init__(self, prompt_tokens: int, frequency: float, presence: float) -> None:
        self._settings = prompt_tokens, frequency, presence

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        start, frequency, presence = self._settings
        counts = torch.bincount(input_ids[0, start:], minlength=scores.shape[-1])
        return scores - counts * frequency - (counts > 0) * presence


def generate(files: Path, prompt: str, *, spent: tuple[float, float] = (0, 0), **settings: Any) -> Told:
    """The library's own answer to a prompt of one user message."""
    tokenizer = tiny.byte_tokenizer()
    turn = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(files, dtype=torch.float32)
    start = inputs["input_ids"].shape[1]
    processors = LogitsProcessorList([Spent(start, *spent)])
    output = model.generate(**inputs, **settings, do_sample=False, logits_processor=processors)[0, start:]
    stopped = output[-1] == tokenizer.eos_token_id
    text = tokenizer.decode(output, skip_special_tokens=True)
    return Told(text.rstrip("\ufffd"), "stop" if stopped else "length")


@pytest.mark.parametrize("prompt", [*PROMPTS, "long " * 140])
def test_greedy_equals_generate(engine: Engine, files: Path, prompt: str) -> None:
    told = ask(engine, prompt=prompt, temperature=0, max_tokens=40)
    expected = generate(files, prompt, max_new_tokens=40)
    assert (told.text.rstrip("\ufffd"), told.finish_reason) == (expected.text, expected.finish_reason)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"repetition_penalty": 2}, {"repetition_penalty": 2.0}),
        ({"repetition_penalty": 0.6}, {"repetition_penalty": 0.6}),
        ({"frequency_penalty": 1.5}, {"spent": (1.5, 0)}),
        ({"frequency_penalty": -2}, {"spent": (-2, 0)}),
        ({"presence_penalty": 2}, {"spent": (0, 2)}),
    ],
)
def test_with_penalties_greedy_equals_generate(
    engine: Engine, files: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    told = ask(engine, prompt="Hello", temperature=0, max_tokens=30, **ours)
    expected = generate(files, "Hello", max_new_tokens=30, **theirs)
    assert (told.text.rstrip("\ufffd"), told.finish_reason) == (expected.text, expected.finish_reason)


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 0.001}])
def test_where_one_token_is_left_it_is_the_likeliest(engine: Engine, settings: dict[str, Any]) -> None:
    told = ask(engine, prompt="Hello", temperature=2, seed=7, max_tokens=30, **settings)
    assert told == ask(engine, prompt="Hello", temperature=0, max_tokens=30)


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 1, "seed": 3, "frequency_penalty": 1}])
def test_streams_side_by_side_are_what_each_is_alone(engine: Engine, settings: dict[str, Any]) -> None:
    bodies = [{"prompt": prompt, "max_tokens": 10 + 9 * i, **settings} for i, prompt in enumerate(PROMPTS)]
    alone = [ask(engine, **body) for body in bodies]
    assert ask_together(engine, bodies) == alone


def test_a_dropped_stream_leaves_the_others_alone(engine: Engine) -> None:
    alone = ask(engine, prompt="Hello", temperature=0, max_tokens=30)
    conversation = Conversation(engine)
    leaver = conversation.admit(prompt=PROMPTS[1], max_tokens=100)
    stayer = conversation.admit(prompt="Hello", temperature=0, max_tokens=30)
    waiter = conversation.admit(prompt="gone before its first step")
    engine.drop(waiter)
    for _ in range(5):
        conversation.step()
    engine.drop(leaver)
    engine.drop(99)
    before = conversation.told[leaver].text
    assert conversation.finish(stayer) == [alone]
    assert conversation.told[leaver].text == before
    assert conversation.told[waiter] == Told()


def test_nothing_is_kept_of_streams_that_left(llama: Engine) -> None:
    model = llama._backend._model  # type: ignore[attr-defined]
    stepper = model._stepper
    conversation = Conversation(llama)
    conversation.finish(conversation.admit(prompt="to its end", max_tokens=3))
    dropped = [conversation.admit(prompt="x", max_tokens=50) for _ in range(3)]
    conversation.step()
    for number in dropped:
        llama.drop(number)
    assert (model._streams, stepper._waiting, stepper._streams, stepper._batches) == ({}, {}, {}, [])


@pytest.mark.parametrize("max_tokens", [1, 2, 17])
def test_as_many_tokens_as_asked_for_and_counted(llama: Engine, max_tokens: int) -> None:
    told = ask(llama, prompt="Hello", temperature=0, max_tokens=max_tokens)
    assert told.finish_reason == "length"
    assert told.usage is not None
    assert told.usage.completion_tokens == max_tokens
    # The opening token, the role, five letters, the end, the template's line end, and the next role.
    assert told.usage.prompt_tokens == 10


def test_the_stop_token_counts_and_does_not_show(engine: Engine, files: Path) -> None:
    told = ask(engine, prompt="Hello", temperature=5, seed=4, max_tokens=2000)
    assert told.finish_reason == "stop"
    assert told.usage is not None
    assert 0 < told.usage.completion_tokens < 2000
    assert "</s>" not in told.text


def test_special_tokens_do_not_show(llama: Engine) -> None:
    told = ask(llama, prompt="Hello", temperature=5, seed=6, max_tokens=2000)
    assert not any(token in told.text for token in ("<s>", "<pad>", "<|user|>", "<|assistant|>", "<|system|>"))


def test_raw_text_is_sent_as_it_is(llama: Engine) -> None:
    prompt = ask(llama, prompt="<s>Hello", raw=True, temperature=0, max_tokens=20)
    opened = ask(llama, prompt="Hello", raw=True, temperature=0, max_tokens=20)
    joined = ask(llama, messages=[{"role": "a", "content": "Hello"}], raw=True, temperature=0, max_tokens=20)
    assert prompt == opened == joined
    assert opened.usage is not None
    assert opened.usage.prompt_tokens == 6


def test_messages_go_through_the_template(llama: Engine) -> None:
    settings: dict[str, Any] = {"temperature": 0, "max_tokens": 20}
    assert ask(llama, prompt="Hello", **settings) == ask(
        llama, messages=[{"role": "user", "content": "Hello"}], prompt="ignored", **settings
    )


def test_the_same_seed_gives_the_same_text_and_another_another(engine: Engine) -> None:
    settings: dict[str, Any] = {"prompt": "Hello", "temperature": 1.5, "max_tokens": 30}
    texts = [ask(engine, seed=seed, **settings).text for seed in (1, 1, 9_999_999_999, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@pytest.mark.parametrize(
    ("body", "error", "detail"),
    [
        ({"prompt": "x" * 95, "max_tokens": 29}, ContextExceeded, "tokens (129) exceeded"),
        ({"prompt": "x" * 200}, ContextExceeded, "tokens (461) exceeded"),
        ({"messages": [{"role": "critic", "content": "x"}]}, BadInput, "refuses '/messages': no role critic"),
        ({"prompt": "x", "lora": "mine"}, LoraUnsupported, "'/lora'"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_any_work(
    tmp_path: Path, body: dict[str, Any], error: type[Exception], detail: str
) -> None:
    engine = load(tiny.chat_model(tmp_path), context_window=128, threads=1)
    with pytest.raises(error) as caught:
        Conversation(engine).admit(**body)
    assert detail in str(caught.value)
    assert ask(engine, prompt="x" * 95, max_tokens=28, temperature=0).error is None
    assert engine.step() == []


def test_the_default_output_is_shortened_to_the_window(tmp_path: Path) -> None:
    told = ask(load(tiny.chat_model(tmp_path), context_window=128, threads=1), prompt="x" * 96, temperature=0)
    assert told.usage is not None
    assert told.usage.prompt_tokens + told.usage.completion_tokens == 128


def test_a_model_without_a_template_takes_prompts_but_no_messages(tmp_path: Path) -> None:
    files = tiny.chat_model(tmp_path)
    (files / "chat_template.jinja").unlink()
    engine = load(files, dtype="float32", threads=1)
    plain = ask(engine, prompt="Hello", temperature=0, max_tokens=5)
    assert plain == ask(engine, prompt="Hello", raw=True, temperature=0, max_tokens=5)
    with pytest.raises(BadInput, match="no chat template for '/messages'"):
        Conversation(engine).admit(messages=[{"role": "user", "content": "Hello"}])
