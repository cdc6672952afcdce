"""Brings the log probabilities of other servers into one form; knows no server."""

from __future__ import annotations

import math
from typing import Any

from gateway.engines.llm.upstream.events import Unreadable, text_of
from gateway.tasks.pieces import TokenLogprob

# What servers write for a probability of nothing, for which JSON has no number.
IMPOSSIBLE = -9999.0


def logprobs_of(value: Any) -> list[TokenLogprob]:
    """Either form: a list of tokens with their rivals, or parallel lists as of the completions route."""
    if not isinstance(value, dict):
        return []
    try:
        if value.get("content"):
            return [
                TokenLogprob(
                    text_of(token["token"]),
                    _finite(token["logprob"]),
                    [(text_of(rival["token"]), _finite(rival["logprob"])) for rival in token.get("top_logprobs") or []],
                )
                for token in value["content"]
            ]
        tokens, logprobs = value.get("tokens") or [], value.get("token_logprobs") or []
        tops = value.get("top_logprobs") or [None] * len(tokens)
        return [
            TokenLogprob(text_of(token), _finite(logprob), [(rival, _finite(at)) for rival, at in (top or {}).items()])
            for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreadable("log probabilities in no known form") from None


def _finite(value: Any) -> float:
    number = IMPOSSIBLE if value is None else float(value)
    return number if math.isfinite(number) else IMPOSSIBLE
