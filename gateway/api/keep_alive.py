"""How long a caller wants the model to stay loaded, from a header; knows no model."""

from __future__ import annotations

import math
import re

from starlette.datastructures import Headers

from gateway.errors import BadInput

HEADER = "x-gateway-keep-alive"
LONGEST_S = 7 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"-?\d{1,9}(\.\d{1,3})?")
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)")


def keep_alive_s(headers: Headers) -> float | None:
    """Seconds to stay loaded after this request; None if the header is not sent, infinity for a negative value.

    Seconds as a number (`300`, `0`, `-1`) or a duration (`90s`, `5m`, `1h30m`), at most a week. Raises `BadInput`.
    """
    text = headers.get(HEADER)
    if text is None:
        return None
    seconds = _parsed(text.strip())
    if seconds is None:
        raise BadInput(f"header '{HEADER}' must be seconds or a duration like '5m'; 0 unloads, a negative value keeps")
    if seconds < 0:
        return math.inf
    if seconds > LONGEST_S:
        raise BadInput(f"header '{HEADER}' must be at most {LONGEST_S:g} seconds, or negative")
    return seconds


def _parsed(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    sign, body = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    parts = _PART.findall(body[:64])
    if not parts or "".join(number + unit for number, unit in parts) != body:
        return None
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)
