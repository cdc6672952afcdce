"""Drives a token model the way the engine does and keeps the tokens it gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.config import ModelSpec
from gateway.engines.llm.backend import Advance, TokenModel, TokenReport
from gateway.engines.llm.decoding import Decoding, Prompt
from gateway.engines.llm.options import Options
from gateway.engines.llm.sampling import Sampling
from gateway.engines.llm.transformers import TransformersModel
from gateway.engines.llm.weights import find_weights
from gateway.engines.options import read_options

# More than any test needs, so that streams that wait for ever fail it.
MOST_STEPS = 20_000


def token_model(files: Path, **fields: Any) -> TransformersModel:
    row = {"name": "@local/chat", "task": "text-generation", "engine": "llm"}
    row |= {"device": "cpu", "dtype": "float32", "threads": 1}
    spec = ModelSpec.model_validate(row | fields)
    return TransformersModel(spec, read_options(Options, spec), find_weights(spec, files))


def library_model(model: TransformersModel) -> Any:
    """The library's own, which computes the logits."""
    return model._stepper._model  # type: ignore[attr-defined]


def decoding(max_tokens: int = 20, *, temperature: float = 0, seed: int = 0, **more: Any) -> Decoding:
    return Decoding(Sampling(max_tokens, temperature=temperature, seed=seed), **more)


class Tokens:
    """One stream's tokens so far, their reports and how it ended."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.reports: list[TokenReport] = []
        self.finish_reason: str | None = None
        self.cached = 0


def run(model: TokenModel, *streams: tuple[Sequence[int] | Prompt, Decoding]) -> list[Tokens]:
    """All streams side by side, to their ends."""
    told = {id: Tokens() for id in range(len(streams))}
    for id, (prompt, how) in enumerate(streams):
        model.add(id, prompt if isinstance(prompt, Prompt) else Prompt(list(prompt)), how)
    for _ in range(MOST_STEPS):
        if all(tokens.finish_reason is not None for tokens in told.values()):
            return list(told.values())
        for id, advance in model.step():
            assert isinstance(advance, Advance), advance
            tokens = told[id]
            tokens.ids += advance.tokens
            tokens.reports += advance.reports
            tokens.cached += advance.cached_tokens
            tokens.finish_reason = advance.finish_reason
    raise AssertionError("some streams never end")
