"""Addresses: the one canonical spelling of a request's path; knows no routes."""

from __future__ import annotations

import re

from gateway.config import ACCOUNT_ID

PREFIX = "/client/v4"
_ACCOUNT = re.compile(r"/accounts/([^/]+)")
_OPENAI = re.compile(r"/accounts/[^/]+/ai/v1(/|$)")
_SLASHES = re.compile(r"/{2,}")


def canonical(path: str) -> str:
    """`path` without `/client/v4`, doubled slashes and a trailing slash.

    Clients differ in all three (a base URL may end in a slash), and a redirect would drop a POST's body.
    """
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if path.startswith(PREFIX) and path[len(PREFIX) : len(PREFIX) + 1] in ("", "/"):
        path = path[len(PREFIX) :]
    return path.rstrip("/") or "/"


def account_of(path: str) -> str | None:
    """The account part of a canonical path, or None if the path is not below `/accounts/`."""
    found = _ACCOUNT.match(path)
    return found[1] if found else None


def is_openai(path: str) -> bool:
    """Whether a canonical path is one of those that OpenAI's clients ask."""
    return _OPENAI.match(path) is not None


def is_account_id(text: str) -> bool:
    """Whether `text` is 32 hexadecimal digits."""
    return ACCOUNT_ID.fullmatch(text) is not None
