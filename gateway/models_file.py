"""Reads models.yaml: its rows, their further names, and the settings it may hold; knows no model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gateway.config import ConfigError, FileSettings, ModelSpec, Settings, describe


def find_models_file(settings: Settings) -> Path:
    """The models.yaml to serve: the configured one, the working directory's, or the shipped one."""
    if settings.models is not None:
        if not settings.models.is_file():
            raise ConfigError(f"no models file at {settings.models}; pass --models FILE or unset GATEWAY_MODELS")
        return settings.models
    package = Path(__file__).resolve().parent
    for candidate in (Path("models.yaml"), package.parent / "models.yaml", package / "models.yaml"):
        if candidate.is_file():
            return candidate
    raise ConfigError("no models.yaml here and none shipped with the package; pass --models FILE")


def load_specs(path: Path) -> list[ModelSpec]:
    """The rows of the file at `path`; raises `ConfigError`."""
    return parse_specs(_text(path), str(path))


def parse_specs(text: str, where: str) -> list[ModelSpec]:
    """The rows of a models.yaml text; raises `ConfigError` naming `where`, the row and the field."""
    document = _document(text, where)
    specs: list[ModelSpec] = []
    for index, row in enumerate(document["models"]):
        label = row.get("name", f"#{index + 1}") if isinstance(row, dict) else f"#{index + 1}"
        try:
            specs.append(ModelSpec.model_validate(row))
        except ValidationError as error:
            raise ConfigError(f"{where}, row {label}: {describe(error)}") from error
    specs = _with_aliases(specs, document.get("aliases") or {}, where)
    check_names(specs, where)
    return specs


def _with_aliases(specs: Sequence[ModelSpec], aliases: Any, where: str) -> list[ModelSpec]:
    """The rows with the file's own `aliases:`, a mapping of further names to names of rows."""
    if not isinstance(aliases, dict) or not all(isinstance(name, str) for pair in aliases.items() for name in pair):
        raise ConfigError(f"{where}: `aliases:` must be a mapping of further names to names of rows")
    further: dict[str, tuple[str, ...]] = {spec.name: spec.aliases for spec in specs}
    for alias, name in aliases.items():
        if name not in further:
            raise ConfigError(f"{where}, aliases: {alias} means {name}, which is not the name of a row")
        further[name] = (*further[name], alias)
    return [spec.model_copy(update={"aliases": further[spec.name]}) for spec in specs] if aliases else list(specs)


def check_names(specs: Sequence[ModelSpec], where: str) -> None:
    """Raise `ConfigError` if two rows claim one name or alias."""
    owner: dict[str, str] = {}
    for spec in specs:
        for name in (spec.name, *spec.aliases):
            if name in owner:
                raise ConfigError(f"{where}, row {spec.name}: the name {name} is already taken by {owner[name]}")
            owner[name] = spec.name


def similar(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that no row has: those that it is like."""
    near = get_close_matches(name, list(known))
    return f"; did you mean {' or '.join(near)}?" if near else "; `gateway models list` shows the rows"


def with_file_settings(settings: Settings, path: Path) -> Settings:
    """`settings`, where nobody set them otherwise with those of the models file; raises `ConfigError`."""
    section = _document(_text(path), str(path)).get("gateway") or {}
    try:
        named = FileSettings.model_validate(section).model_dump(exclude_none=True)
    except ValidationError as error:
        raise ConfigError(f"{path}, gateway: {describe(error)}") from error
    return settings.model_copy(update={key: named[key] for key in set(named) - settings.model_fields_set})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start} is not") from error


def _document(text: str, where: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply") from None
    if not isinstance(document, dict) or not isinstance(document.get("models"), list):
        raise ConfigError(f"{where} must be a mapping with a list under `models:`")
    unknown = sorted(set(document) - {"models", "aliases", "gateway"})
    if unknown:
        raise ConfigError(f"{where}: unknown key `{unknown[0]}` (expected: models, aliases, gateway)")
    return document
