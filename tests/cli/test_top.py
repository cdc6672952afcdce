"""`gateway top` as a process, against a real server."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from gateway.cli.looks import Counts, Look, Watcher
from gateway.cli.top import screen
from tests.server import Server, gateway, write_models

COMMAND = (sys.executable, "-m", "gateway.cli.main", "top")
FAKE = "{name: '@cf/test/NAME', task: TASK, engine: ENGINE}"


def fake(name: str, task: str = "text-classification", engine: str = "fake") -> str:
    return FAKE.replace("NAME", name).replace("TASK", task).replace("ENGINE", engine)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("top")
    rows = fake("classify"), fake("talk", "text-generation", "fake_chat"), fake("asleep")
    with gateway("--models", str(write_models(folder / "models.yaml", *rows)), "--home", str(folder)) as server:
        for name, asked in (("classify", {"text": "a"}), ("talk", {"prompt": "one two three"})):
            httpx.post(
                server.run_url(f"@cf/test/{name}"), json=asked, headers={"authorization": "Bearer a"}, timeout=60
            )
        yield server


def top(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env={**os.environ, **env}, timeout=60)


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def cells(table: str, name: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"@cf/test/{name} ")]
    return re.split(r" {2,}", line.strip())


def test_once_shows_each_model_that_does_something(server: Server) -> None:
    done = top("--once", "--url", url(server))
    assert (done.returncode, done.stderr) == (0, "")
    _, state, device, memory, replicas, waiting, running, requests, tokens, p50, p99 = cells(done.stdout, "classify")
    assert (state, device, replicas, waiting, running) == ("ready", "cpu", "1/1", "0", "0")
    assert re.fullmatch(r"host 0\.\d\d GiB", memory)
    assert float(requests) > 0
    assert tokens == "0.0"
    assert re.fullmatch(r"[\d.]+ m?s", p50)
    assert re.fullmatch(r"[\d.]+ m?s", p99)
    assert float(cells(done.stdout, "talk")[8]) > 0
    assert "asleep" not in done.stdout
    assert "1 more are not loaded" in done.stdout


def test_a_reason_is_shown_as_it_stands_below_the_table(server: Server) -> None:
    with closing(Watcher(url(server), None)) as watcher:
        look = watcher.look()
    look.ready["models"][0] |= {"state": "waiting", "reason": "needs 2.00 GiB [bold]of[/bold] host memory"}
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(screen(look, None, show_all=False))
    *_, table_end, reason = [line.rstrip() for line in console.export_text().splitlines()]
    assert reason == "@cf/test/classify: needs 2.00 GiB [bold]of[/bold] host memory"
    assert not table_end.startswith("@cf/test/classify: ")


def test_all_shows_also_those_that_do_nothing(server: Server) -> None:
    done = top("--once", "--all", "--url", url(server))
    assert cells(done.stdout, "asleep")[1] == "unloaded"


def test_without_a_terminal_it_prints_once_and_ends(server: Server) -> None:
    done = top("--url", url(server))
    assert done.returncode == 0
    assert cells(done.stdout, "classify")[1] == "ready"


def test_nobody_there_is_one_line_that_says_what_to_do() -> None:
    done = top("--once", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: no gateway answers at http://127\.0\.0\.1:9 .*--url\n", done.stderr)


def test_another_server_is_told_from_a_gateway(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text("{}")
    (tmp_path / "metrics").write_text("")
    line = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        try:
            assert other.stdout is not None
            port = re.search(r"port (\d+)", other.stdout.readline())
            assert port is not None
            assert "is not a gateway" in top("--once", "--url", f"http://127.0.0.1:{port[1]}").stderr
        finally:
            other.kill()


def test_a_gateway_with_keys_takes_the_one_of_the_environment(tmp_path: Path) -> None:
    create = [sys.executable, "-m", "gateway.cli.main", "keys", "create", "--keys-file", str(tmp_path / "keys.json")]
    callers, operators = (
        subprocess.run([*create, "--scope", scope], capture_output=True, text=True, check=True).stdout.strip()
        for scope in ("run", "admin")
    )
    models = write_models(tmp_path / "models.yaml", fake("classify"))
    with gateway("--models", str(models), "--home", str(tmp_path)) as server:
        for wrong in ({}, {"GATEWAY_KEY": "gw_wrong"}, {"GATEWAY_KEY": callers}):
            refused = top("--once", "--url", url(server), **wrong)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "put one into GATEWAY_KEY" in refused.stderr
        assert top("--once", "--url", url(server), GATEWAY_KEY=operators).returncode == 0


def test_it_follows_a_server_until_interrupted_also_past_its_end(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", fake("classify"))
    screen, terminal = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "30"}
    with gateway("--models", str(models), "--home", str(tmp_path)) as server:
        line = [*COMMAND, "--all", "--every", "0.1", "--url", url(server)]
        process = subprocess.Popen(line, stdin=terminal, stdout=terminal, stderr=terminal, env=env)
        os.close(terminal)
        try:
            _read_until(screen, "unloaded")
            httpx.post(server.run_url("@cf/test/classify"), json={"text": "a"}, headers={"authorization": "Bearer a"})
            _read_until(screen, "1/1")
            server.stop()
            _read_until(screen, "no gateway answers")
            process.send_signal(signal.SIGINT)
            _read_until(screen, None)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            os.close(screen)


def _read_until(screen: int, text: str | None) -> None:
    """Read what is shown until it has `text`, or to its end."""
    seen = ""
    while text is None or text not in seen:
        try:
            data = os.read(screen, 4096).decode(errors="ignore")
        except OSError:  # how a pseudo-terminal ends on Linux
            data = ""
        if not data:
            assert text is None, f"ended without {text!r}:\n{seen}"
            return
        seen += data


@pytest.mark.parametrize(("share", "seconds"), [(0.5, 0.15), (0.2, 0.08), (0.99, 0.2), (1.0, 0.2)])
def test_percentiles_are_interpolated_as_prometheus_does(share: float, seconds: float) -> None:
    counts = Counts(10, 0, {0.1: 2.5, 0.2: 7.5, float("inf"): 10})
    assert counts.quantile_s(share) == pytest.approx(seconds)


def test_without_requests_there_is_no_percentile() -> None:
    assert Counts().quantile_s(0.5) is None
    assert Counts(0, 0, {0.1: 0.0, float("inf"): 0.0}).quantile_s(0.5) is None


def test_counts_of_a_server_that_started_again_are_taken_from_its_start() -> None:
    before = Look({}, {"m": Counts(50, 5)}, at=100.0, up_s=60.0)
    after = Look({}, {"m": Counts(3, 1)}, at=110.0, up_s=2.0)
    assert after.span(before) == (2.0, {"m": Counts(3, 1)})
    later = Look({}, {"m": Counts(60, 9), "n": Counts(1, 0)}, at=110.0, up_s=70.0)
    assert later.span(before) == (10.0, {"m": Counts(10, 4), "n": Counts(1, 0)})
