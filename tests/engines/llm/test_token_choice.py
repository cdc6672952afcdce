"""What is reported of each token, and how a caller may weigh tokens, with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.transformers import TransformersModel
from gateway.errors import BadInput
from tests import tiny
from tests.engines.llm.token_streams import decoding, run, token_model

TOKENIZER = tiny.byte_tokenizer()
PROMPT: list[int] = TOKENIZER.encode("Hello")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(files: Path) -> TransformersModel:
    return token_model(files)


def distribution(files: Path, tokens: list[int]) -> torch.Tensor:
    """The library's own logarithms of the probabilities after each token: [tokens, vocabulary]."""
    with torch.inference_mode():
        loaded = AutoModelForCausalLM.from_pretrained(files, dtype=torch.float32)
        logprobs: torch.Tensor = loaded(torch.tensor([tokens])).logits[0].log_softmax(-1)
    return logprobs


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0},
        {"temperature": 2.0, "seed": 1},
        {"temperature": 1, "seed": 2, "frequency_penalty": 1.5, "repetition_penalty": 1.3, "top_k": 3},
    ],
)
@pytest.mark.parametrize("rivals", [0, 3])
def test_logprobs_are_those_of_the_model_itself(
    model: TransformersModel, files: Path, sampling: dict[str, Any], rivals: int
) -> None:
    how = Decoding(Sampling(12, **sampling), logprobs=rivals)
    told, silent = run(model, (PROMPT, how), (PROMPT, decoding(12)))
    expected = distribution(files, [*PROMPT, *told.ids])[len(PROMPT) - 1 :]
    assert [report.token for report in told.reports] == told.ids
    for report, logprobs in zip(told.reports, expected, strict=False):
        best = logprobs.topk(rivals)
        assert report.logprob == pytest.approx(logprobs[report.token].item(), abs=1e-4)
        assert [token for token, _ in report.top] == best.indices.tolist()
        assert [logprob for _, logprob in report.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert silent.reports == []


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_bias_bans_and_forces_tokens(model: TransformersModel, temperature: float) -> None:
    (plain,) = run(model, (PROMPT, decoding(12, temperature=temperature, seed=5)))
    banned, forced = run(
        model,
        (PROMPT, decoding(12, temperature=temperature, seed=5, logit_bias={plain.ids[0]: -100})),
        (PROMPT, decoding(12, temperature=temperature, seed=5, logit_bias={100: 100, 2: -100})),
    )
    assert plain.ids[0] not in banned.ids
    assert forced.ids == [100] * 12


def test_a_bias_equals_the_librarys(model: TransformersModel, files: Path) -> None:
    bias = {40: 3.0, 41: -2.5, 2: -100.0}
    (told,) = run(model, (PROMPT, decoding(25, logit_bias=bias)))
    loaded = AutoModelForCausalLM.from_pretrained(files, dtype=torch.float32)
    biases = [[[id], value] for id, value in bias.items()]
    output = loaded.generate(torch.tensor([PROMPT]), max_new_tokens=25, sequence_bias=biases, do_sample=False)
    assert told.ids == output[0, len(PROMPT) :].tolist()


def test_ends_are_ignored_on_demand(model: TransformersModel) -> None:
    likes_its_end = {"logit_bias": {2: 100}}
    ended, went_on = run(
        model,
        (PROMPT, decoding(9, **likes_its_end)),
        (PROMPT, decoding(9, ignore_eos=True, **likes_its_end)),
    )
    assert (ended.ids, ended.finish_reason) == ([2], "stop")
    assert (went_on.ids, went_on.finish_reason) == ([2] * 9, "length")


@pytest.mark.parametrize("token", [-1, len(TOKENIZER), 10**9])
def test_a_bias_for_a_token_that_is_not_there_is_refused(model: TransformersModel, token: int) -> None:
    with pytest.raises(BadInput, match=f"'/logit_bias/{token}' is not a token of this model; they are 0 to 261"):
        model.add(0, Prompt(PROMPT), decoding(logit_bias={token: 1}))
    assert model.step() == []
