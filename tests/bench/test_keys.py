"""`gateway bench` against a gateway with keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.site import ROOT, SHORT, Bench

MODEL = "@cf/test/embed"


@pytest.mark.parametrize("key", [(), ("--key", "wrong")])
def test_a_key_is_asked_for(
    key: tuple[str, ...], bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GATEWAY_KEY")
    assert bench.status(MODEL, *key) == 1
    assert "put a key with the scopes run and read into GATEWAY_KEY" in capsys.readouterr().err


def test_a_key_is_used_and_written_nowhere(
    bench: Bench, keys: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys["all"]
    monkeypatch.delenv("GATEWAY_KEY")
    for given in (("--key", key), (f"--key={key}",)):
        run = bench.run(MODEL, *SHORT, *given, "--report", str(tmp_path / "report.html"))
        assert run.stages[0].answered > 0
        assert "--key" in run.about.command
        assert [file.name for file in tmp_path.iterdir() if key in file.read_text(encoding="utf-8")] == []


def test_a_key_that_may_not_read_the_catalogue_needs_a_row_here(
    bench: Bench, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", keys["run"])
    assert bench.run(MODEL, *SHORT).subject.task == "Text Embeddings"
    monkeypatch.setenv("GATEWAY_MODELS", str(ROOT / "models.yaml"))
    assert bench.status(MODEL, *SHORT) == 1
    assert f"models.yaml says what {MODEL} does: add a row" in capsys.readouterr().err


def test_who_is_told_to_come_again_after_the_end_does_not_hammer(
    bench: Bench, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", keys["three"])
    assert bench.status(MODEL, "--seconds", "0.5", "--connections", "1,2") == 1
    shown = capsys.readouterr()
    assert "none of those after it: they failed with 3021" in shown.err
    told = [line.partition("failed: ")[2] for line in shown.err.splitlines() if "failed: " in line]
    assert told == ["1 × 3021", "2 × 3021"]
