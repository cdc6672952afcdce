"""Every kind of answer is measured with models that really run: tiny checkpoints, and starters that speak and hear."""

from __future__ import annotations

import pytest

from gateway.bench.result import Stage
from tests.bench.site import ROOT, Bench


def measured(bench: Bench, model: str, *more: str) -> Stage:
    """The one stage of a short run without faults."""
    (stage,) = bench.run(model, "--seconds", "0.3", "--connections", "1", *more).stages
    assert stage.failed == {}
    assert stage.answered > 0
    return stage


def test_chat(bench: Bench) -> None:
    stage = measured(bench, "@test/chat", "--max-tokens", "8")
    assert stage.first_s is not None
    assert stage.latency_s is not None
    assert stage.first_s.p50 <= stage.latency_s.p50
    assert stage.tokens_per_s is not None
    assert stage.tokens_per_s <= 8 * stage.answers_per_s * 1.001
    assert stage.stream_tokens_per_s is not None
    # Its price is a neuron for each token that is read, and two for each that is written.
    assert stage.input_tokens_per_s is not None
    assert stage.neurons_per_s == pytest.approx(stage.input_tokens_per_s + 2 * stage.tokens_per_s)


@pytest.mark.parametrize("model", ["@test/rank", "@test/see"])
def test_whole_answers(model: str, bench: Bench) -> None:
    stage = measured(bench, model)
    assert stage.first_s is None
    assert (stage.tokens_per_s, stage.audio_per_s) == (None, None)


def test_drawing_needs_no_more_than_one_request(bench: Bench) -> None:
    run = bench.run("@test/draw", "--seconds", "0.1")
    assert [stage.connections for stage in run.stages] == [1]
    assert run.stages[0].answered > 0


def test_speech_that_is_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MODELS", str(ROOT / "models.yaml"))  # for the price
    stage = measured(bench, "@cf/openai/whisper-tiny-en", "--priced-as", "@cf/openai/whisper")
    assert stage.real_time_factor is not None
    # 0.0005 USD a minute, of clips of eight seconds.
    assert stage.neurons == pytest.approx(stage.answered * 8 / 60 * 0.0005 / 0.000011)


@pytest.mark.parametrize(("model", "in_pieces"), [("@local/espeak-ng", False), ("@local/espeak-ng-aura", True)])
def test_speech_that_is_spoken(model: str, in_pieces: bool, bench: Bench) -> None:
    stage = measured(bench, model)
    assert stage.audio_per_s is not None
    assert stage.audio_per_s > 1
    assert (stage.first_s is not None) == in_pieces
