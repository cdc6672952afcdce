"""Reads the `options` of a row into an engine's own model of them; knows no engine."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from gateway.config import ConfigError, Frozen, ModelSpec, describe

Options = TypeVar("Options", bound=Frozen)


def read_options(kind: type[Options], spec: ModelSpec) -> Options:
    """The row's options as a `kind`; raises `ConfigError` naming the row, the option and what is wrong with it."""
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        known = ", ".join(kind.model_fields) or "none"
        raise ConfigError(f"row {spec.name}: options.{describe(error)} (options of this engine: {known})") from None
