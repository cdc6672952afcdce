"""The spelling of sources in models.yaml; knows no protocol behind them."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from gateway.config import ConfigError
from gateway.weights.hub import HubSource
from gateway.weights.local import LocalSource
from gateway.weights.pypi import PackageSource

# What a hub's pull request brings is under a name of its own: models are often converted to safetensors in one.
_REVISION = r"refs/pr/\d+|\w[\w.-]*"
_HUB = re.compile(rf"hf:(?P<repo>\w[\w.-]*/\w[\w.-]*)@(?P<revision>{_REVISION})(?:/(?P<path>.+))?")
_PACKAGE = re.compile(r"pypi:(?P<dist>\w[\w.-]*)==(?P<version>\w[\w.!+-]*)(?:/(?P<path>.+))?")
FORMS = "hf:org/repo@revision[/file], pypi:dist==version/path/in/wheel or file:/path"


def parse_source(text: str) -> HubSource | PackageSource | LocalSource:
    """The source that `text` spells; raises `ConfigError` naming it."""
    if text.startswith("file:"):
        return LocalSource(text, _absolute(text))
    if match := _HUB.fullmatch(text):
        return HubSource(text, match["repo"], match["revision"], _inner(text, match["path"]))
    if match := _PACKAGE.fullmatch(text):
        return PackageSource(text, match["dist"], match["version"], _inner(text, match["path"]))
    raise ConfigError(f"`{text}` is not a source: write {FORMS}")


def _absolute(text: str) -> Path:
    given = text.removeprefix("file:")
    location = Path(given.removeprefix("//")).expanduser()
    if not location.is_absolute():
        raise ConfigError(f"`{text}` is not a source: the path after `file:` must be absolute")
    return location


def _inner(text: str, path: str | None) -> str:
    parts = PurePosixPath(path or "").parts
    if ".." in parts or (path or "").startswith("/") or "\\" in (path or ""):
        raise ConfigError(f"`{text}` is not a source: the path inside it must not leave it")
    return "/".join(parts)
