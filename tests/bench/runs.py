"""Runs as a bench keeps them, written down instead of measured."""

from __future__ import annotations

from typing import Any

from gateway.bench.result import About, OwnCost, Pricing, Run, Spread, Stage, Subject
from gateway.properties import Price

PRICE = Price(unit="per M output tokens", price=0.201)


def stage(connections: int, slowness: float = 1.0, **more: Any) -> Stage:
    """A stage of a chat model; twice the `slowness` is half as fast."""
    fields = {
        "connections": connections,
        "seconds": 20.0,
        "answered": 40,
        "failed": {},
        "waited": {},
        "answers_per_s": 2.0 / slowness,
        "latency_s": Spread(p50=0.5 * slowness, p99=1.5 * slowness),
        "first_s": Spread(p50=0.05 * slowness, p99=0.2 * slowness),
        "tokens_per_s": 256.0 / slowness,
        "stream_tokens_per_s": Spread(p50=64.0 / slowness, p99=70.0 / slowness),
        "neurons": 100.0,
        "neurons_per_s": 5.0 / slowness,
    }
    return Stage(**fields | more)


def run(*stages: Stage, model: str = "@cf/test/chat", **more: Any) -> Run:
    """A run of these stages."""
    subject = Subject(
        model=model,
        task="Text Generation",
        form="text-generation/default",
        load="a story",
        seed=7,
        url="http://127.0.0.1:8787",
        is_here=True,
        first_answer_s=1.25,
        answered_by=model,
    )
    about = About(
        at="2026-11-23T12:00:00+00:00",
        command=f"gateway bench {model} --seconds 20",
        version="1.0",
        commit="0123456789abcdef",
        threads=2,
        load_before=0.5,
        machine={"cpu": "a CPU", "gpu": "none"},
        versions={"python": "3.11"},
    )
    fields = {"pricing": Pricing(model=model, prices=(PRICE,)), "own_cost": OwnCost(watts=65, usd_per_kwh=0.3)}
    return Run(subject=subject, stages=stages, about=about, **fields | more)
