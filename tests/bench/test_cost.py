"""What measured work costs, against sums done by hand with the prices that Cloudflare's list gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import models_file
from gateway.bench.caller import Outcome
from gateway.bench.cost import Bill, Meter, own_usd_per_hour
from gateway.bench.result import OwnCost, Stage
from gateway.tasks.amounts import Amounts
from tests.bench.outcomes import outcome, tokens

ROWS = {row.name: row for row in models_file.load_specs(Path(__file__).parents[2] / "models.yaml")}
CHAT = "@cf/meta/llama-3.2-1b-instruct"  # 0.027 USD per million tokens in, 0.201 out


def stage(answers_per_s: float, neurons_per_s: float | None) -> Stage:
    fields = {"connections": 4, "seconds": 10, "answered": 20, "failed": {}, "waited": {}}
    return Stage(**fields, answers_per_s=answers_per_s, neurons_per_s=neurons_per_s)


@pytest.mark.parametrize(
    ("model", "answered", "usd"),
    [
        (CHAT, outcome(0, 1, usage=tokens(100, 128)), 100 * 0.027e-6 + 128 * 0.201e-6),
        ("@cf/baai/bge-base-en-v1.5", outcome(0, 1, usage=tokens(250, 0)), 250 * 0.067e-6),
        ("@cf/openai/whisper", outcome(0, 1, amounts=Amounts(audio_s=8)), 8 / 60 * 0.0005),
        ("@cf/microsoft/resnet-50", outcome(0, 1, amounts=Amounts(images=1)), 2.51e-6),
        (
            "@cf/qwen/qwen3.8-27b",
            outcome(0, 1, usage=tokens(1000, 10, cached=400)),
            600 * 0.45e-6 + 400 * 0.05e-6 + 10 * 3.2e-6,
        ),
    ],
)
def test_neurons_follow_the_price_of_the_row(model: str, answered: Outcome, usd: float) -> None:
    meter = Meter(ROWS[model].properties.price, told=True)
    assert meter.neurons(answered) == pytest.approx(usd / 0.000011)


def test_what_the_endpoint_tells_goes_before_its_price_but_not_before_that_of_another_model() -> None:
    answered = outcome(0, 1, usage=tokens(1000, 0), neurons=7.0)
    prices = ROWS[CHAT].properties.price
    assert Meter(prices, told=True).neurons(answered) == 7.0
    assert Meter(prices, told=False).neurons(answered) == pytest.approx(1000 * 0.027 / 11)


def test_there_are_no_neurons_without_a_price_or_without_what_it_is_for() -> None:
    assert Meter((), told=True).neurons(outcome(0, 1, usage=tokens(1, 1))) is None
    assert Meter(ROWS[CHAT].properties.price, told=True).neurons(outcome(0, 1, amounts=Amounts(audio_s=3))) is None


def test_a_bill_by_hand() -> None:
    """2 requests a second of 100 tokens in and 128 out: 28.428 millionths of a USD each."""
    own = OwnCost(watts=65, usd_per_kwh=0.30)
    bill = Bill.of(stage(2.0, 2 * 28.428e-6 / 0.000011), own)
    assert bill is not None
    assert bill.usd_per_1000 == pytest.approx(0.028428)
    assert bill.usd_per_hour == pytest.approx(0.2046816)
    assert bill.usd_per_day == pytest.approx(4.9123584)
    assert bill.own_usd_per_1000 == pytest.approx(0.0195 / 7.2)
    assert bill.break_even_share == pytest.approx(0.0952699)
    assert bill.break_even_per_hour == pytest.approx(685.943, rel=1e-5)


@pytest.mark.parametrize(
    ("own", "usd"),
    [
        (OwnCost(watts=1000, usd_per_kwh=0.25), 0.25),
        (OwnCost(usd_per_month=73.05), 0.1),
        (OwnCost(watts=100, usd_per_kwh=0.4, usd_per_month=730.5), 1.04),
    ],
)
def test_an_hour_of_ones_own_machine(own: OwnCost, usd: float) -> None:
    assert own_usd_per_hour(own) == pytest.approx(usd)


def test_a_machine_that_costs_more_than_its_work_never_breaks_even() -> None:
    bill = Bill.of(stage(1.0, 1.0), OwnCost(usd_per_month=730.5))
    assert bill is not None
    assert bill.break_even_share == pytest.approx(1 / 0.0396)
    assert bill.break_even_per_hour is None


def test_a_model_that_costs_nothing_has_no_break_even() -> None:
    bill = Bill.of(stage(1.0, 0.0), OwnCost(usd_per_month=10))
    assert bill is not None
    assert (bill.usd_per_day, bill.break_even_share, bill.break_even_per_hour) == (0.0, None, None)


def test_there_is_no_bill_without_neurons() -> None:
    assert Bill.of(stage(1.0, None), None) is None
