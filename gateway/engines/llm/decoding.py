"""One stream as a token model is given it: its prompt and how it is to be continued; knows no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.engines.llm.constraint import Constraint
from gateway.engines.llm.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, and for a model that sees what its processor made of the pictures among them."""

    tokens: list[int]
    media: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Decoding:
    """How one stream is continued.

    `constraint` holds for the text without special tokens other than `markers`: their ids, with the text that the
    constraint knows them by. `adapter` is the name of a LoRA adapter of the row. `salt` keeps apart whose prompts may
    share cached work. `logprobs` is how many rivals of each token to report, None for no report. With `ignore_eos` the
    model's stop tokens do not stop it.
    """

    sampling: Sampling
    constraint: Constraint | None = None
    markers: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    adapter: str | None = None
    salt: str = ""
    logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    ignore_eos: bool = False

    def cache_salt(self, *, accounts: bool) -> str:
        """What separates prompts whose work may not be shared: an adapter changes keys and values, and so do accounts
        where these are kept apart.
        """
        return f"{self.adapter or ''}\n{self.salt if accounts else ''}"
