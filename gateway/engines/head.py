"""A logistic head over sentence vectors: a small JSON file of weights and where they come from; knows no encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from gateway.config import ConfigError, Frozen, describe

FOLDER = Path(__file__).parent / "heads"


class Head(Frozen):
    """Label probabilities as a logistic function of vectors that were pooled and scaled as the head says.

    `weight` has one row per label, or, for two labels, a single row that gives the log-odds of the second.
    """

    labels: tuple[str, ...] = Field(min_length=2)
    pooling: Literal["mean", "cls"]
    normalize: bool
    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _shapes(self) -> Head:
        rows = len(self.weight)
        if rows != len(self.labels) and (rows, len(self.labels)) != (1, 2):
            raise ValueError(f"weight has {rows} rows for {len(self.labels)} labels")
        if len(self.bias) != rows:
            raise ValueError(f"bias has {len(self.bias)} values for {rows} rows of weight")
        if len({len(row) for row in self.weight}) != 1:
            raise ValueError("the rows of weight differ in length")
        return self

    @property
    def dimensions(self) -> int:
        """The length of the vectors it reads."""
        return len(self.weight[0])

    def probabilities(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Shape (vectors, labels); each row sums to 1. `vectors` has shape (vectors, dimensions)."""
        logits = vectors @ np.array(self.weight).T + np.array(self.bias)
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
        return shares


def load_head(name: str, folder: Path = FOLDER) -> Head:
    """The head `name` among those in `folder`; raises `ConfigError` if there is none or its file is at fault."""
    known = sorted(path.stem for path in folder.glob("*.json"))
    if name not in known:
        raise ConfigError(f"options.head: no head {name!r} (there are: {', '.join(known)})")
    try:
        return Head.model_validate_json((folder / f"{name}.json").read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ConfigError(f"options.head: {name}: {describe(error)}") from None
