"""Log lines say nothing of what callers sent."""

from __future__ import annotations

import logging

import pytest

from gateway import logs


@pytest.mark.parametrize(
    ("message", "is_kept"),
    [
        ('%s - "WebSocket %s" [accepted]', False),
        ('%s - "WebSocket %s" %d', False),
        ("connection open", False),
        ("ASGI callable returned without completing handshake.", False),
        ("Shutting down", True),
        ("Exception in ASGI application", True),
    ],
)
def test_the_servers_lines_about_single_websockets_are_left_out(message: str, is_kept: bool) -> None:
    handlers = list(logging.getLogger().handlers)
    logs.configure("text", "info")
    logging.getLogger().handlers[:] = handlers
    logger = logging.getLogger("uvicorn.error")
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, message, (), None)
    assert bool(logger.filter(record)) is is_kept
