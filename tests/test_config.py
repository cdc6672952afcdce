"""Rows and settings: a typo names row and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, ModelSpec, Settings
from gateway.models_file import find_models_file, load_specs, parse_specs, with_file_settings
from gateway.runtime.registry import task_of

ROW = "{name: m, task: text-classification, engine: fake"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [", "is not YAML"),
        ("[]", "must be a mapping with a list under `models:`"),
        ("models: []\nextra: 1", "unknown key `extra`"),
        (f"models: [{ROW}, preloaded: true}}]", "row m: preloaded: Extra inputs are not permitted"),
        (f"models: [{ROW}, replicas: 0}}]", "row m: replicas.min: Input should be greater than or equal to 1"),
        (f"models: [{ROW}, replicas: {{min: 3, max: 2}}}}]", "replicas: Value error, max (2) is less than min (3)"),
        (f"models: [{ROW}, pin: true, idle_unload_s: 5}}]", "pin and idle_unload_s contradict each other"),
        ("models: [{task: t, engine: e}]", "row #1: name: Field required"),
        (f"models: [{ROW}}}, {ROW}}}]", "row m: the name m is already taken by m"),
        (f"models: [{ROW}, aliases: [n]}}, {{name: n, task: t, engine: e}}]", "the name n is already taken by m"),
        ("models: [5]", "row #1"),
        (f"models: [{ROW}}}]\naliases: {{a: nobody}}", "aliases: a means nobody, which is not the name of a row"),
        (f"models: [{ROW}}}]\naliases: [a]", "`aliases:` must be a mapping"),
        (f"models: [{ROW}}}, {{name: n, task: t, engine: e}}]\naliases: {{n: m}}", "the name n is already taken by m"),
    ],
)
def test_a_bad_file_is_refused_with_row_and_field(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as found:
        parse_specs(text, "f.yaml")
    assert said in found.value.detail
    assert "f.yaml" in found.value.detail


def test_every_shipped_row_has_a_task_and_a_source_and_starters_are_pinned() -> None:
    specs = load_specs(find_models_file(Settings()))
    assert sum(spec.starter for spec in specs) == 7
    for spec in specs:
        assert task_of(spec).name == spec.task
        assert spec.license
        if spec.engine == "silero_turn":  # its detector comes with a package
            assert spec.source is None
            continue
        assert spec.source is not None
        # A model's name may be known before any of its revisions is; a starter is fetched without being asked for.
        assert "@main" not in spec.source or (spec.task == "text-generation" and not spec.starter)
        assert not (spec.starter and "@refs/" in spec.source)


def test_the_files_aliases_are_further_names_of_rows() -> None:
    (spec,) = parse_specs(f"models: [{ROW}, aliases: [a]}}]\naliases: {{b: m, c: m}}", "f.yaml")
    assert spec.aliases == ("a", "b", "c")


def test_the_file_sets_what_nobody_else_has_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: []\ngateway: {stand_ins: true}")
    assert with_file_settings(Settings(), file).stand_ins
    assert not with_file_settings(Settings(stand_ins=False), file).stand_ins
    monkeypatch.setenv("GATEWAY_STAND_INS", "false")
    assert not with_file_settings(Settings(), file).stand_ins


@pytest.mark.parametrize(("word", "mode"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("'on'", "on")])
def test_the_words_for_the_sandbox_mean_the_same_in_file_and_environment(
    word: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(f"models: []\ngateway: {{sandbox: {word}}}")
    assert with_file_settings(Settings(), file).sandbox == mode
    monkeypatch.setenv("GATEWAY_SANDBOX", mode)
    assert Settings().sandbox == mode


def test_another_word_for_the_sandbox_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: []\ngateway: {sandbox: strict}")
    with pytest.raises(ConfigError, match="gateway: sandbox: Input should be 'auto', 'on' or 'off'"):
        with_file_settings(Settings(), file)


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: []\ngateway: {port: 1}")
    with pytest.raises(ConfigError, match="gateway: port: Extra inputs"):
        with_file_settings(Settings(), file)


def test_an_unknown_task_names_the_row() -> None:
    with pytest.raises(ConfigError, match="row m: task: no task 'juggling'"):
        task_of(ModelSpec(name="m", task="juggling", engine="fake"))


def test_settings_come_from_the_environment_and_give_way_to_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9000")
    monkeypatch.setenv("GATEWAY_ACCOUNTS", f"{'A' * 32}, {'b' * 32}")
    assert Settings().port == 9000
    assert Settings(port=9001).port == 9001
    assert Settings().accounts == ("a" * 32, "b" * 32)


def test_a_missing_models_file_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--models"):
        find_models_file(Settings(models=tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("text", "bounds"), [("2", (2, 2)), ("{min: 3}", (3, 3)), ("{max: 4}", (1, 4)), ("{min: 2, max: 5}", (2, 5))]
)
def test_replicas_are_a_number_or_bounds(text: str, bounds: tuple[int, int]) -> None:
    (spec,) = parse_specs(f"models: [{ROW}, replicas: {text}}}]", "f.yaml")
    assert (spec.replicas.min, spec.replicas.max) == bounds
