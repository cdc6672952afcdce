from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.weights.hub import HubSource
from gateway.weights.local import LocalSource
from gateway.weights.parse import parse_source
from gateway.weights.pypi import PackageSource


@pytest.mark.parametrize(
    ("text", "kind", "parts"),
    [
        ("hf:org/repo@main", HubSource, ("org/repo", "main", "")),
        ("hf:o.r_g/re-po@0123abc/a/b.gguf", HubSource, ("o.r_g/re-po", "0123abc", "a/b.gguf")),
        ("hf:org/repo@refs/pr/7", HubSource, ("org/repo", "refs/pr/7", "")),
        ("hf:org/repo@refs/pr/7/a/b.gguf", HubSource, ("org/repo", "refs/pr/7", "a/b.gguf")),
        ("pypi:a-dist==1.0/pkg/model", PackageSource, ("a-dist", "1.0", "pkg/model")),
        ("pypi:a_dist==1!2.0.post1+cpu/x/", PackageSource, ("a_dist", "1!2.0.post1+cpu", "x")),
        ("pypi:a-dist==1.0", PackageSource, ("a-dist", "1.0", "")),
        ("file:/srv/model", LocalSource, (Path("/srv/model"),)),
        ("file:///srv/model", LocalSource, (Path("/srv/model"),)),
    ],
)
def test_reads_each_form(text: str, kind: type, parts: tuple[object, ...]) -> None:
    assert parse_source(text) == kind(text, *parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "org/repo",
        "hf:org/repo",
        "hf:repo@main",
        "hf:org/repo@main/../../etc/passwd",
        "hf:../repo@main",
        "pypi:dist",
        "pypi:dist>=1.0/model",
        "pypi:--index-url=http==1.0/model",
        "pypi:dist==1.0/../model",
        "pypi:dist==1.0//etc",
        "pypi:dist==1.0 --pre/model",
        "file:relative/path",
        "https://example.org/model.bin",
    ],
)
def test_a_malformed_source_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(text)
    assert f"`{text}` is not a source" in str(caught.value)
