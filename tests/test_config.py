"""Rows and settings: a typo names row and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, ModelSpec, Settings, find_models_file, load_specs, parse_specs
from gateway.runtime.registry import task_of

ROW = "{name: m, task: text-classification, engine: fake"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [", "is not YAML"),
        ("[]", "must be a mapping with a list under `models:`"),
        ("models: []\nextra: 1", "unknown key `extra`"),
        (f"models: [{ROW}, preloaded: true}}]", "row m: preloaded: Extra inputs are not permitted"),
        (f"models: [{ROW}, replicas: 0}}]", "row m: replicas: Input should be greater than or equal to 1"),
        ("models: [{task: t, engine: e}]", "row #1: name: Field required"),
        (f"models: [{ROW}}}, {ROW}}}]", "row m: the name m is already taken by m"),
        (f"models: [{ROW}, aliases: [n]}}, {{name: n, task: t, engine: e}}]", "the name n is already taken by m"),
        ("models: [5]", "row #1"),
    ],
)
def test_a_bad_file_is_refused_with_row_and_field(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as found:
        parse_specs(text, "f.yaml")
    assert said in found.value.detail
    assert "f.yaml" in found.value.detail


def test_every_shipped_row_has_a_task_and_a_pinned_source() -> None:
    specs = load_specs(find_models_file(Settings()))
    assert sum(spec.starter for spec in specs) == 5
    for spec in specs:
        assert task_of(spec).name == spec.task
        assert spec.license
        if spec.engine == "silero_turn":  # its detector comes with a package
            assert spec.source is None
            continue
        assert spec.source is not None
        assert "@main" not in spec.source


def test_an_unknown_task_names_the_row() -> None:
    with pytest.raises(ConfigError, match="row m: task: no task 'juggling'"):
        task_of(ModelSpec(name="m", task="juggling", engine="fake"))


def test_settings_come_from_the_environment_and_give_way_to_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9000")
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "A1, b2")
    assert Settings().port == 9000
    assert Settings(port=9001).port == 9001
    assert Settings().accounts == ("a1", "b2")


def test_a_missing_models_file_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--models"):
        find_models_file(Settings(models=tmp_path / "none.yaml"))
