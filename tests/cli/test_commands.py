"""What an operator does wrong on the first day: every command says what to do next, in one line, and fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.app import create_app
from gateway.cli import main
from gateway.config import ConfigError, Settings
from gateway.models_file import parse_specs

NAMELESS = "models:\n  - {task: text-classification, engine: fake}\n"
ROW = "models:\n  - {{name: '@local/a', task: text-classification, engine: {engine}, source: '{source}'}}\n"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the command, called as its script calls it."""
    monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main.main())  # type: ignore[func-returns-value] - as the installed script does
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "models.yaml is not UTF-8 text: byte 0 is not"),
        (b": : bad", "models.yaml is not YAML: "),
        (b"models: " + b"[" * 5000, "models.yaml is nested too deeply"),
        (b"", "models.yaml must be a mapping with a list under `models:`"),
        (NAMELESS.encode(), "models.yaml, row #1: name: Field required"),
        (
            ROW.format(engine="../a", source="file:/a").encode(),
            "row @local/a: engine: String should match",
        ),
    ],
    ids=["bytes", "no YAML", "deep", "empty", "no name", "a path as engine"],
)
def test_a_models_file_that_cannot_be_used_is_refused_with_its_fault(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models.yaml").write_bytes(content)
    assert run(monkeypatch, "models", "list", "--models", "models.yaml") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


@pytest.mark.parametrize(
    ("engine", "source", "said"),
    [
        ("nope", "file:/a", "row @local/a: engine: there is no engine nope"),
        ("fake", "zip:a", "row @local/a: source: `zip:a` is not a source: write hf:"),
    ],
)
def test_a_row_that_could_never_be_loaded_is_refused_at_the_start(
    engine: str, source: str, said: str, tmp_path: Path
) -> None:
    specs = parse_specs(ROW.format(engine=engine, source=source), "models.yaml")
    with pytest.raises(ConfigError, match=re.escape(said)):
        create_app(Settings(home=tmp_path), specs)


@pytest.mark.skipif(sys.platform != "linux", reason="the file is one of Linux")
def test_a_models_file_that_may_not_be_read_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Reading it fails for everybody, also for root: nothing is mapped at the address 0.
    assert run(monkeypatch, "models", "list", "--models", "/proc/self/mem") == 1
    assert "error: /proc/self/mem cannot be read: Input/output error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--home", "/dev/null/home"), "no folder can be made at /dev/null/home (Not a directory): name one"),
        (("serve", "--port", "99999"), "setting port: Input should be less than or equal to 65535"),
        (("models", "reload"), "start one with `gateway serve`, or name its folder with --home"),
        (("ready",), "start one with `gateway serve`, or name its folder with --home"),
        (("models", "pull", "@local/espeak"), "did you mean @local/espeak-ng"),
        (("models", "verify", "@local/espeak-ng"), "run `gateway models pull @local/espeak-ng`"),
        (("keys", "create", "--keys-file", "/dev/null/keys.json"), "cannot be written: File exists; make room"),
        (("keys", "list", "--keys-file", "/dev/null/keys.json"), "keys file /dev/null/keys.json: [Errno 20] Not a dir"),
        (("keys", "create", "--name", ""), "a key's name has 1 to 100 printable characters"),
        (("keys", "create", "--name", "a\nb"), "a key's name has 1 to 100 printable characters"),
        (("keys", "create", "--name", "a" * 101), "a key's name has 1 to 100 printable characters"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_accounts_that_are_none_end_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "0" * 31)
    assert run(monkeypatch, "serve") == 1
    assert f"setting accounts: Value error, '{'0' * 31}' is not an account id" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "out", "err"),
    [
        (("models", "verify"), "", "no weights are here: `gateway models pull` fetches some"),
        (("models", "remove", "@local/espeak-ng"), "no weights of @local/espeak-ng are here: nothing removed", ""),
        (("keys", "list"), "", "so everybody on this machine gets in: `gateway keys create` makes one."),
        (("--version",), __version__, ""),
    ],
)
def test_there_being_nothing_is_no_fault_and_said(
    arguments: tuple[str, ...],
    out: str,
    err: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments) == 0
    captured = capsys.readouterr()
    assert out in captured.out
    assert err in captured.err


def test_the_list_of_keys_is_plain_and_whole_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "keys", "create", "--name", "n" * 100) == 0
    command = [sys.executable, "-m", "gateway.cli.main", "keys", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    heading, line = done.stdout.splitlines()
    assert heading.split() == ["name", "created", "scopes", "SHA-256", "begins", "with"]
    assert line.split()[0] == "n" * 100
    assert done.stdout.isascii()


def test_the_help_of_every_command_shows_its_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, "serve", "--help") == 0
    assert run(monkeypatch, "top", "--help") == 0
    shown = capsys.readouterr().out
    for default in ("127.0.0.1", "8787", "the user's data directory", "where `gateway serve` would listen"):
        assert f"(default: {default})" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="the device is one of Linux")
def test_output_that_cannot_be_written_is_one_line() -> None:
    command = [sys.executable, "-m", "gateway.cli.main", "version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")
