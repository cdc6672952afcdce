"""The OpenVINO backend on real weights: what the library gives when called directly, and real answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino_genai
import pytest

from gateway.engines.llm import Engine
from gateway.engines.llm.conversion import converted
from gateway.engines.llm.decoding import Decoding
from gateway.engines.llm.openvino import _uncut
from gateway.engines.llm.sampling import Sampling
from gateway.errors import BadInput, ContextExceeded
from tests.engines.llm.streams import Conversation, Told, ask, ask_together, load, streamed

QUESTION = "What is the capital of Japan?"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
PROMPTS = [QUESTION, "What is 2 + 2?", "Name three colours.", "Say hello."]


@pytest.fixture(scope="module")
def engine(smollm_file: Path) -> Engine:
    return load(smollm_file, max_streams=16, options={"backend": "openvino"}, prefix_cache="off")


@pytest.fixture(scope="module")
def library(smollm_file: Path) -> Any:
    """OpenVINO GenAI itself over the converted file, without any other code of ours; keys are stored as ours are.

    Over the file itself it computes other weights (`test_exact_groups.py`).
    """
    folder = converted(smollm_file)
    assert folder is not None
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    settings = {"INFERENCE_PRECISION_HINT": "f32", "KEY_CACHE_QUANT_MODE": "BY_TOKEN"}
    return openvino_genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", settings)


def rendered(question: str) -> str:
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def directly(library: Any, question: str, **settings: Any) -> Told:
    config = openvino_genai.GenerationConfig(apply_chat_template=False, stop_token_ids={2}, **settings)
    ids = library.get_tokenizer().encode(rendered(question), add_special_tokens=False).input_ids
    # Twice, since it multiplies the rows of a stream alone in another way, which rounds differently.
    result, _ = library.generate([ids, ids], [config, config])
    tokens = result.m_generation_ids[0]
    return Told(library.get_tokenizer().decode(tokens), "stop" if tokens[-1] == 2 else "length")


def test_a_real_question_gets_its_answer(engine: Engine) -> None:
    told = ask(engine, prompt=QUESTION, temperature=0)
    assert "Tokyo" in told.text
    assert told.finish_reason == "stop"


def test_transformers_reads_the_same_file(smollm_file: Path) -> None:
    told = ask(
        load(smollm_file, dtype="float32", options={"backend": "transformers"}),
        prompt=QUESTION,
        temperature=0,
        max_tokens=8,
    )
    assert "Tokyo" in told.text
    assert told.usage is not None
    assert told.usage.prompt_tokens == 37


@pytest.mark.parametrize("question", PROMPTS)
def test_greedy_equals_the_library(engine: Engine, library: Any, question: str) -> None:
    told = ask(engine, prompt=question, temperature=0, max_tokens=24)
    expected = directly(library, question, max_new_tokens=24)
    assert (told.text, told.finish_reason) == (expected.text, expected.finish_reason)


def test_only_the_likeliest_is_left_of_one(engine: Engine) -> None:
    settings: dict[str, Any] = {"prompt": QUESTION, "max_tokens": 24}
    greedy = ask(engine, temperature=0, **settings)
    assert ask(engine, temperature=3, top_k=1, seed=5, **settings) == greedy
    assert ask(engine, temperature=3, top_p=0.001, seed=6, **settings) == greedy
    assert ask(engine, temperature=3, seed=7, **settings) != greedy


def test_usage_is_the_tokenizers(engine: Engine, library: Any) -> None:
    told = ask(engine, prompt=QUESTION, temperature=0)
    tokenizer = library.get_tokenizer()
    assert told.usage is not None
    assert told.usage.prompt_tokens == tokenizer.encode(rendered(QUESTION)).input_ids.shape[1]
    # The token that ends the turn was generated too.
    assert told.usage.completion_tokens == tokenizer.encode(told.text + "<|im_end|>").input_ids.shape[1]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.7, "seed": 11}])
def test_streams_side_by_side_are_what_each_is_alone(engine: Engine, settings: dict[str, Any]) -> None:
    prompts = [*PROMPTS, "word " * 300 + QUESTION, "Count from one to fifty.", *PROMPTS]
    bodies = [{"prompt": prompt, "max_tokens": 20 + 4 * i, **settings} for i, prompt in enumerate(prompts)]
    alone = [ask(engine, **body) for body in bodies]
    assert ask_together(engine, bodies) == alone


def test_right_guesses_save_passes(engine: Engine) -> None:
    conversation = Conversation(engine)
    number = conversation.admit(prompt="the sea, the sea, the sea, the sea,", raw=True, temperature=0, max_tokens=60)
    passes = 0
    while not conversation.told[number].finished:
        conversation.step()
        passes += 1
    usage = conversation.told[number].usage
    assert usage is not None
    assert passes < usage.completion_tokens == 60


def test_the_same_seed_gives_the_same_text_and_none_another(engine: Engine) -> None:
    settings: dict[str, Any] = {"prompt": "Tell me a story", "temperature": 1, "max_tokens": 16}
    assert ask(engine, seed=3, **settings) == ask(engine, seed=3, **settings)
    assert len({ask(engine, **settings).text for _ in range(3)}) > 1


@pytest.mark.parametrize("max_tokens", [1, 5])
def test_as_many_tokens_as_asked_for(engine: Engine, max_tokens: int) -> None:
    told = ask(engine, prompt="Count to a hundred", temperature=0, max_tokens=max_tokens)
    assert told.finish_reason == "length"
    assert told.usage is not None
    assert told.usage.completion_tokens == max_tokens


def test_a_dropped_stream_ends_and_its_slot_is_free(engine: Engine) -> None:
    conversation = Conversation(engine)
    leavers = [conversation.admit(prompt="Tell me a story", max_tokens=1000) for _ in range(16)]
    conversation.step()
    for number in leavers:
        engine.drop(number)
    pages = engine._backend._model._stepper.schedule.pages  # type: ignore[attr-defined]
    assert pages.left == pages.count
    stayer = conversation.admit(prompt=QUESTION, temperature=0)
    assert "Tokyo" in conversation.finish(stayer)[0].text
    assert not any(conversation.told[number].finished for number in leavers)


def test_special_tokens_do_not_show(engine: Engine) -> None:
    told = ask(engine, prompt="<|im_end|>", raw=True, temperature=3, seed=1, max_tokens=200)
    assert "<|" not in told.text


def test_all_of_the_samplings_bounds_are_taken(engine: Engine) -> None:
    lowest = {"temperature": 0, "top_p": 0.001, "top_k": 1, "seed": 1, "repetition_penalty": 0}
    highest = {"temperature": 5, "top_p": 1, "top_k": 50, "seed": 9_999_999_999, "repetition_penalty": 2}
    penalties = {"frequency_penalty": -2, "presence_penalty": -2}
    for body in (lowest | penalties, highest | dict.fromkeys(penalties, 2)):
        assert ask(engine, prompt="Hi", max_tokens=4, **body).error is None


def test_a_prompt_beyond_the_window_is_refused(engine: Engine) -> None:
    with pytest.raises(ContextExceeded, match=r"\(8192\)$"):
        Conversation(engine).admit(prompt="word " * 9000)


def test_a_window_is_no_wider_than_the_tokenizer_reads() -> None:
    class Short:
        template, bos_token, eos_token = None, "", ""

        def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
            return [1] * min(100, len(text.split()))

        def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
            return [""] * len(rows)

    assert _uncut(Short(), 4096) == 100
    assert _uncut(Short(), 64) == 64


def test_a_long_prompt_fits_beside_a_short_one(engine: Engine) -> None:
    conversation = Conversation(engine)
    long = conversation.admit(prompt="word " * 600, max_tokens=2)
    short = conversation.admit(prompt=QUESTION, temperature=0)
    tell_long, tell_short = conversation.finish(long, short)
    assert tell_long.usage is not None
    assert tell_long.usage.prompt_tokens > 600
    assert "Tokyo" in tell_short.text


def test_a_folder_that_cannot_be_written_is_no_obstacle(smollm_file: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(smollm_file)
    (tmp_path / ".openvino").touch()
    told = ask(load(tmp_path / "model.gguf", options={"backend": "openvino"}), prompt=QUESTION, temperature=0)
    assert "Tokyo" in told.text


def asked(engine: Engine, text: str) -> list[int]:
    model = engine._backend._model  # type: ignore[attr-defined]
    found: list[int] = model.tokenizer.encode(rendered(text), add_special_tokens=False)
    return found


def test_reported_probabilities_are_the_models_own(engine: Engine) -> None:
    prompt = asked(engine, QUESTION)
    _, plain, none = streamed(engine, prompt, Decoding(Sampling(5, temperature=0)))
    _, tokens, reports = streamed(engine, prompt, Decoding(Sampling(5, temperature=0), logprobs=0))
    assert none == []
    assert tokens == plain == [report.token for report in reports]
    assert all(-2 < report.logprob < 0 and report.top == [] for report in reports)
    # Neither temperature nor a choice among few changes what the model held probable.
    _, hot, sampled = streamed(engine, prompt, Decoding(Sampling(1, temperature=5, top_k=1), logprobs=0))
    assert hot == tokens[:1]
    assert sampled[0].logprob == pytest.approx(reports[0].logprob, abs=1e-3)


def test_likeliest_rivals_are_reported_as_many_as_asked_for(engine: Engine) -> None:
    prompt = asked(engine, QUESTION)
    _, tokens, reports = streamed(engine, prompt, Decoding(Sampling(5, temperature=0), logprobs=3))
    for token, report in zip(tokens, reports, strict=True):
        logprobs = [logprob for _, logprob in report.top]
        assert report.top[0] == (token, report.logprob)
        assert logprobs == sorted(logprobs, reverse=True)
        assert len(logprobs) == 3


def test_a_bias_forces_a_token_or_forbids_it(engine: Engine) -> None:
    prompt = asked(engine, QUESTION)
    _, (usual, *_), _ = streamed(engine, prompt, Decoding(Sampling(1, temperature=0)))
    for bias, expected in ((100.0, True), (-100.0, False)):
        token = usual if not expected else 500
        _, told, _ = streamed(engine, prompt, Decoding(Sampling(4, temperature=0), logit_bias={token: bias}))
        assert (token in told) is expected
    with pytest.raises(BadInput, match=r"'/logit_bias/49152' is not a token of this model; they are 0 to 49151"):
        streamed(engine, prompt, Decoding(Sampling(1), logit_bias={49152: 1.0}))


def test_a_stream_may_go_on_beyond_its_end(engine: Engine) -> None:
    prompt = asked(engine, QUESTION)
    _, ended, _ = streamed(engine, prompt, Decoding(Sampling(60, temperature=0)))
    _, endless, _ = streamed(engine, prompt, Decoding(Sampling(60, temperature=0), ignore_eos=True))
    assert len(ended) < 60 == len(endless)
    assert endless[: len(ended)] == ended


def test_seeds_of_more_than_32_bits_are_told_apart(engine: Engine) -> None:
    prompt = asked(engine, "Tell me a story")
    seeds = [5, 5 + (1 << 32), 9_999_999_999]
    told = [streamed(engine, prompt, Decoding(Sampling(16, seed=seed)))[1] for seed in [*seeds, *seeds]]
    assert told[:3] == told[3:]
    assert len(set(map(tuple, told))) == 3
