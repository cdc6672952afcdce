"""What a row may set under `options` when another server generates its text; opens no connection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gateway.config import ConfigError, Frozen, ModelSpec

PORT, FILES, KEY = "{port}", "{files}", "{key}"
Kind = Literal["vllm", "sglang", "llama.cpp", "gateway", "openai"]


class UpstreamOptions(Frozen):
    """Either `url`, a server that runs already, or `command`, one to start; the rest says how to speak with it.

    In the words of `command` and the values of `environment`, `{port}` is a free port of this machine, `{files}` the
    row's weights and `{key}` a key made anew for each start. Times are in seconds.
    """

    url: str | None = None
    command: tuple[str, ...] = ()
    model: str | None = Field(None, min_length=1)
    server: Literal["auto"] | Kind = "auto"
    api_key_file: Path | None = None
    api_key_env: str | None = Field(None, min_length=1)
    environment: dict[str, str] = Field(default_factory=dict)
    pass_environment: tuple[str, ...] = ()
    ready_timeout_s: float | None = Field(None, gt=0)
    connect_timeout_s: float = Field(5.0, gt=0)
    stall_timeout_s: float = Field(60.0, gt=0)

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http or https address such as http://127.0.0.1:8001/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have no user, query or fragment; a key belongs into api_key_file or api_key_env")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> UpstreamOptions:
        if (self.url is None) == (not self.command):
            raise ValueError("set one of url and command")
        if self.url is not None and (self.environment or self.pass_environment or self.ready_timeout_s is not None):
            raise ValueError("environment, pass_environment and ready_timeout_s are for a server that command starts")
        if self.command and not self.uses(PORT):
            raise ValueError("command must say {port} where the server is told its port")
        if self.api_key_file is not None and self.api_key_env is not None:
            raise ValueError("set one of api_key_file and api_key_env")
        if self.uses(KEY) and (self.api_key_file is not None or self.api_key_env is not None):
            raise ValueError("{key} makes a key, so api_key_file and api_key_env must not be set")
        return self

    def uses(self, placeholder: str) -> bool:
        """Whether the command or its environment has this placeholder."""
        return any(placeholder in text for text in (*self.command, *self.environment.values()))


def is_upstream(spec: ModelSpec) -> bool:
    """Whether the row's options are those of another server."""
    return "url" in spec.options or "command" in spec.options


def read_key(spec: ModelSpec, options: UpstreamOptions) -> str | None:
    """The key to send, if the row names one; raises `ConfigError` naming the option, never the key or a path."""
    if options.api_key_file is not None:
        try:
            key = options.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"row {spec.name}: options.api_key_file: cannot be read: {_why(error)}") from None
        where = "options.api_key_file"
    elif options.api_key_env is not None:
        key, where = os.environ.get(options.api_key_env, "").strip(), "options.api_key_env"
    else:
        return None
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"row {spec.name}: {where}: holds no key of printable ASCII characters")
    return key


def _why(error: Exception) -> str:
    return (error.strerror or "no file") if isinstance(error, OSError) else "it is not text"
