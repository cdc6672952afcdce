"""Brings the log probabilities of other servers into one form; knows no server."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gateway.engines.llm.detokenize import UNFINISHED
from gateway.engines.llm.upstream.events import Unreadable, text_of
from gateway.tasks.pieces import RatedToken, TokenLogprob

# What servers write for a probability of nothing, for which JSON has no number.
IMPOSSIBLE = -9999.0


def logprobs_of(value: Any) -> list[TokenLogprob]:
    """Either form: a list of tokens with their rivals, or parallel lists as of the completions route."""
    if not isinstance(value, dict):
        return []
    try:
        if value.get("content"):
            return [
                _rated(token).among([_rated(rival) for rival in token.get("top_logprobs") or []])
                for token in value["content"]
            ]
        tokens, logprobs = value.get("tokens") or [], value.get("token_logprobs") or []
        tops = value.get("top_logprobs") or [None] * len(tokens)
        return [
            RatedToken(text_of(token), _finite(logprob)).among(
                [RatedToken(rival, _finite(at)) for rival, at in (top or {}).items()]
            )
            for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreadable("log probabilities in no known form") from None


def _rated(entry: Mapping[str, Any]) -> RatedToken:
    """A token by its bytes, if the server tells them; some tell those of the sign for what is no whole character."""
    text, logprob, told = text_of(entry["token"]), _finite(entry["logprob"]), entry.get("bytes")
    data = bytes(told) if isinstance(told, list) else b""
    if not data or (UNFINISHED in text and data == text.encode()):
        return RatedToken(text, logprob)
    return RatedToken.of(data, logprob)


def _finite(value: Any) -> float:
    number = IMPOSSIBLE if value is None else float(value)
    return number if math.isfinite(number) else IMPOSSIBLE
