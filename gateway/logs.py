"""How log lines look, the same in the gateway and in its workers; knows nothing of what is logged."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

Format = Literal["text", "json"]
# What uvicorn says of single WebSockets holds the caller's parameters, and calls each refused upgrade an error.
_OF_WEBSOCKETS = ('%s - "WebSocket %s"', "connection ", "ASGI callable returned without completing handshake")


def configure(log_format: Format, level: str) -> None:
    """Send structlog's and the standard library's lines to standard error, as text or as one JSON object a line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            # The default formatter would print local variables, and with them what callers sent.
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "urllib3", "filelock", "faster_whisper"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").filters[:] = [_is_no_websockets]


def _is_no_websockets(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_OF_WEBSOCKETS)
