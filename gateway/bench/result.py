"""What a run has found, as it is kept in a file; measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.config import ConfigError, describe
from gateway.properties import Price


class Part(BaseModel):
    """Part of a run: immutable."""

    model_config = ConfigDict(frozen=True)


class Spread(Part):
    """Of a number of values, the middle one and the one that 99 % do not exceed (nearest rank)."""

    p50: float
    p99: float


class Stage(Part):
    """What was measured at one number of connections, each with one request at a time.

    A request under way when the time is over counts in what is per second with the share of its time that lay within.
    `first_s` is the time to the first token or, of speech, to the first sound; `tokens_per_s` are those of all
    streams, `stream_tokens_per_s` those of one from its first to its last. `audio_per_s` are the seconds of sound that
    were heard or spoken in a second, `real_time_factor` the seconds that a second of sound took. Neurons are None where
    they are not known. `client_cores` is how many cores the measuring itself kept busy.
    """

    connections: int
    seconds: float
    answered: int
    failed: dict[str, int]
    waited: dict[str, int]
    answers_per_s: float
    latency_s: Spread | None = None
    first_s: Spread | None = None
    tokens_per_s: float | None = None
    stream_tokens_per_s: Spread | None = None
    input_tokens_per_s: float | None = None
    audio_per_s: float | None = None
    real_time_factor: Spread | None = None
    neurons: float | None = None
    neurons_per_s: float | None = None
    client_cores: float = 0.0


class Subject(Part):
    """What was measured: the model, as which task and form it was asked, and where."""

    model: str
    task: str
    form: str
    load: str
    seed: int
    url: str
    is_here: bool
    first_answer_s: float
    answered_by: str

    @property
    def is_cloudflare(self) -> bool:
        """Whether Cloudflare itself was measured."""
        return "api.cloudflare.com" in self.url


class Pricing(Part):
    """Whose prices were counted with; `why_unknown` says why there is no cost."""

    model: str | None = None
    prices: tuple[Price, ...] = ()
    why_unknown: str = ""


class OwnCost(Part):
    """What running the measured machine costs, in USD: its power, and what else comes each month."""

    watts: float = 0.0
    usd_per_kwh: float = 0.0
    usd_per_month: float = 0.0


class About(Part):
    """When, on what and with what it was measured; the machine is the one that the requests came from.

    `load_before` is its load average of the minute before, `threads` how many of its threads this process may use.
    """

    at: str
    command: str
    version: str
    commit: str | None
    threads: int
    load_before: float
    machine: dict[str, str]
    versions: dict[str, str]


class Run(Part):
    """Everything that a run has found."""

    format: Literal[1] = 1
    subject: Subject
    stages: tuple[Stage, ...]
    pricing: Pricing
    own_cost: OwnCost | None
    about: About

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_run(path: Path) -> Run:
    """The run in a file that `--json` wrote; raises `ConfigError`."""
    try:
        return Run.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{path} is no run that `gateway bench --json` wrote: {describe(error)}") from error
