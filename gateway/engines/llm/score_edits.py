"""Changes the scores of the tokens that a bias names or that were there before, and of no other; knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from gateway.engines.llm.sampling import Sampling

# What 0 is taken for, by which nothing can be divided.
LEAST_REPETITION_PENALTY = 1e-6
EDIT = np.dtype([("token", np.int64), ("bias", np.float32), ("divisor", np.float32), ("less", np.float32)])


class ScoreEdits:
    """One stream's edits: first its biases, then a division for repetition, then what is taken off each time."""

    def __init__(self, sampling: Sampling, bias: Mapping[int, float], prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._divisor = max(sampling.repetition_penalty, LEAST_REPETITION_PENALTY)
        repeated = set(prompt) if self._divisor != 1 else set[int]()
        self._places = {token: place for place, token in enumerate(repeated | set(bias))}
        self._table = np.array([(token, bias.get(token, 0), 1, 0) for token in self._places], EDIT)
        self._table["divisor"][[self._places[token] for token in repeated]] = self._divisor
        self._counts: dict[int, int] = {}

    @property
    def table(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """One `EDIT` for each token concerned."""
        return self._table[: len(self._places)]

    def took(self, token: int) -> None:
        """Count a token that was chosen."""
        if not self._sampling.penalized:
            return
        place = self._places.setdefault(token, len(self._places))
        if place == len(self._table):
            self._table = np.concatenate([self._table, np.zeros(64 + place, EDIT)])
        edit = self._table[place]
        self._counts[token] = count = self._counts.get(token, 0) + 1
        less = self._sampling.presence_penalty + self._sampling.frequency_penalty * count
        self._table[place] = (token, edit["bias"], self._divisor, less)


def edit(scores: torch.Tensor, edits: Sequence[ScoreEdits], vocabulary: int) -> None:
    """Change each row of `scores` [rows, `vocabulary` or more] by its edits."""
    tables = [each.table for each in edits]
    if not any(map(len, tables)):
        return
    rows = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    changes = np.concatenate(tables)
    # A prompt may have tokens that the model never writes.
    known = changes["token"] < vocabulary
    rows, changes = rows[known], changes[known]
    if not len(rows):
        return
    places = _on(scores, rows * scores.shape[-1] + changes["token"])
    bias, divisor, less = (_on(scores, changes[name]) for name in ("bias", "divisor", "less"))
    numbers = scores.view(-1)
    found = numbers.index_select(0, places) + bias
    numbers.index_copy_(0, places, torch.where(found < 0, found * divisor, found / divisor) - less)


def _on(scores: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(scores.device)
