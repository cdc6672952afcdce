"""What an operator decides: `Settings` from the environment and `ModelSpec`, one row of models.yaml; reads no file."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.errors import GatewayError
from gateway.properties import Properties

MIB, GIB = 1 << 20, 1 << 30
ACCOUNT_ID = re.compile("[0-9a-fA-F]{32}")
# YAML reads a bare on or off as a truth value.
SandboxMode = Annotated[
    Literal["auto", "on", "off"], BeforeValidator(lambda word: {True: "on", False: "off"}.get(word, word))
]


def default_home() -> Path:
    """The user's data directory for Gateway (XDG base directory specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "gateway"


class ConfigError(GatewayError):
    """A setting or a row that cannot be used; the text names it and says what to do."""


class Settings(BaseSettings):
    """The process's settings. Precedence: command line > environment (`GATEWAY_…`) > default."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(8787, ge=0, le=65535)
    models: Path | None = Field(
        None, description="models.yaml; default: ./models.yaml, then the one shipped with the package"
    )
    home: Path = Field(default_factory=default_home, description="the model store and the keys file live here")
    offline: bool = Field(False, description="never open an outbound connection")
    key_hashes: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="SHA-256 of each accepted key, hexadecimal, comma-separated"
    )
    keys_file: Path | None = Field(None, description="keys written by `gateway keys create`; default: HOME/keys.json")
    accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="accepted account ids, comma-separated; empty: any 32 hexadecimal digits"
    )
    rate_limits: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="requests a minute that each key may make: TASK=N, *=N, or cloudflare; comma-separated"
    )
    max_cost: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="what one request may be estimated to take: UNIT=N, comma-separated"
    )
    max_connections: int = Field(10_000, ge=1, description="fewer where the process may open fewer files")
    max_sessions: int = Field(256, ge=1, description="WebSocket sessions that may be open at once")
    max_sessions_per_key: int = Field(64, ge=0, description="how many of them each key may have; 0: all")
    tls_cert: Path | None = Field(None, description="PEM file of the certificate and its chain; then HTTPS is served")
    tls_key: Path | None = Field(None, description="PEM file of its private key; default: in the certificate's file")
    media_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="hosts that pictures named by address are fetched from, comma-separated; empty: none"
    )
    max_body_bytes: int = Field(100 * MIB, ge=1024)
    body_budget_bytes: int | None = Field(
        None, ge=1024, description="bodies of all requests at once; default: 1/16 of the memory, at most 1 GiB"
    )
    client_timeout_s: float = Field(
        60.0, gt=0, description="how long a client may take over a request's head, or neither send nor take anything"
    )
    grace_s: float = Field(30.0, ge=0, description="how long running requests may take to finish at shutdown")
    memory_gib: float | None = Field(
        None, gt=0, description="host memory that all models together may take; default: 80 % of what there is"
    )
    gpu_memory_gib: float | None = Field(
        None, gt=0, description="memory that they may take on each GPU; default: 90 % of what it has"
    )
    sandbox: SandboxMode = Field(
        "auto", description="workers without network and with read-only files: where possible, or else no start, or no"
    )
    stand_ins: bool = Field(False, description="a starter model answers for a model of its task that is not pulled")
    compat: Literal["default", "strict"] = Field(
        "default", description="strict refuses what Cloudflare refuses, such as JSON mode in a stream"
    )
    openai_models: bool = Field(False, description="serve GET …/ai/v1/models, which Cloudflare does not have")
    tracing: bool = Field(False, description="send OpenTelemetry traces to OTEL_EXPORTER_OTLP_ENDPOINT")
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("key_hashes", "accounts", "rate_limits", "max_cost", "media_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("accounts")
    @classmethod
    def _are_ids(cls, accounts: tuple[str, ...]) -> tuple[str, ...]:
        for account in accounts:
            if not ACCOUNT_ID.fullmatch(account):
                raise ValueError(f"'{account}' is not an account id, which has 32 hexadecimal digits")
        return accounts


class Frozen(BaseModel):
    """A row or part of one: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Frozen):
    """How many workers a loaded model has, and when it gets more or fewer."""

    min: int = Field(default=1, ge=1, le=64)
    max: int = Field(default=1, ge=1, le=64)
    queue_delay_s: float = Field(default=1.0, gt=0, description="one more when the oldest request has waited this long")
    idle_s: float = Field(default=60.0, gt=0, description="one fewer when it had nothing to do for this long")

    @model_validator(mode="before")
    @classmethod
    def _of_a_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        return {"max": value["min"], **value} if isinstance(value, dict) and "min" in value else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) is less than min ({self.min})")
        return self


class ModelSpec(Frozen):
    """One served model: what it is called, which task and engine, where its weights are, how it may be used."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[@A-Za-z0-9][A-Za-z0-9._/@:-]*$")
    task: str = Field(description="a task of gateway/tasks, e.g. text-classification")
    shape: str | None = Field(None, description="which of the task's request and answer forms; default: its first")
    engine: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.\w+)*(:\w+)?$",
        description="a file of gateway/engines, module.path:Class, or auto: by task",
    )
    source: str | None = Field(None, description="hf:org/repo@revision[/file] | pypi:dist==version/path | file:/path")
    files: tuple[str, ...] = Field((), description="globs of the files to take from the source; empty: all")
    overlay: dict[str, str] = Field(
        default_factory=dict, description="single files of other sources, by the names they take among the row's files"
    )
    native_library: bool = Field(False, description="the row vouches for a shared library among the files")
    aliases: tuple[str, ...] = ()
    description: str = ""
    license: str = ""
    created_at: date | None = Field(None, description="since when the model is offered")
    properties: Properties = Field(default_factory=Properties, description="what the catalogue says of it")
    starter: bool = Field(False, description="fetched by the first `gateway serve`")
    preload: bool = Field(False, description="loaded at start and part of readiness")
    pin: bool = Field(False, description="never unloaded, neither to make room for others nor when idle")
    idle_unload_s: float | None = Field(None, gt=0, description="unloaded after this long without a request")
    replicas: Replicas = Field(default_factory=Replicas, description="a number, or {min, max, queue_delay_s, idle_s}")
    memory_mib: int | None = Field(None, ge=1, description="what a replica takes on its device; default: measured")
    growth_mib: int | None = Field(
        None, ge=1, description="how far a worker may outgrow its measured peak; default: half of it, at least 256"
    )
    memory_patience_s: float = Field(30.0, ge=0, description="how long requests wait for memory; then 429")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads of one replica; default: all cores")
    context_window: int | None = Field(None, ge=1, description="tokens; default: what the weights say")
    json_mode: bool = Field(False, description="the original takes JSON mode; asked only under GATEWAY_COMPAT=strict")
    loras: dict[str, str] = Field(default_factory=dict, description="sources of LoRA adapters, by their names")
    prefix_cache: Literal["auto", "account", "shared", "off"] = Field(
        "auto", description="whose prompts may share work: an account's own (auto, account), everyone's, nobody's"
    )
    max_batch_items: int = Field(32, ge=1, le=4096)
    max_batch_tokens: int = Field(16384, ge=1, description="rows x longest row, in the task's unit of length")
    max_streams: int = Field(64, ge=1, description="requests inside one streaming replica at once")
    max_queue_items: int = Field(256, ge=1)
    max_queue_bytes: int = Field(256 * MIB, ge=1024)
    timeout_s: float = Field(120.0, gt=0, description="from acceptance to answer; then 408")
    run_limit_s: float | None = Field(
        None, gt=0, description="one batch or step; then the worker is ended; default: half of timeout_s"
    )
    load_timeout_s: float = Field(300.0, gt=0)
    options: dict[str, Any] = Field(default_factory=dict, description="settings of the engine alone")

    @model_validator(mode="after")
    def _stays_or_goes(self) -> Self:
        if self.pin and self.idle_unload_s is not None:
            raise ValueError("pin and idle_unload_s contradict each other")
        return self

    @model_validator(mode="after")
    def _overlay_has_ground(self) -> ModelSpec:
        if self.overlay and (self.source or "file:").startswith("file:"):
            raise ValueError("overlay: files can be laid only over a source that is fetched, not over a folder in use")
        return self

    @property
    def run_limit(self) -> float:
        """Seconds a batch may run before its worker counts as stuck."""
        return self.run_limit_s if self.run_limit_s is not None else self.timeout_s / 2


def describe(error: ValidationError) -> str:
    """The first fault as `field: what is wrong`."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "row"
    return f"{where}: {first['msg']}"


class FileSettings(Frozen):
    """The part of `Settings` that a models.yaml may hold, under `gateway:`; environment and command line outdo it."""

    sandbox: SandboxMode | None = None
    stand_ins: bool | None = None
    media_hosts: tuple[str, ...] | None = None
