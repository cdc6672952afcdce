"""`gateway bench` against real servers: figures, faults, busy servers, keys, comparisons."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.bench.site import SHORT, Bench
from tests.server import gateway, write_models
from tests.waiting import eventually

EMBED, CLASSIFY = "@cf/test/embed", "@cf/test/classify"
FAKE = f"{{name: '{CLASSIFY}', task: text-classification, engine: fake}}"


def test_each_number_of_connections_has_its_figures(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.run(EMBED, "--seconds", "0.3", "--connections", "4,1")
    assert [stage.connections for stage in run.stages] == [1, 4]
    for stage in run.stages:
        assert stage.failed == {}
        assert stage.answered > 3
        assert stage.seconds == pytest.approx(0.3)
        # A row that asks one neuron a token: what answers told of both agrees.
        assert stage.neurons_per_s == pytest.approx(stage.input_tokens_per_s)
        assert stage.latency_s is not None
        assert stage.latency_s.p50 <= stage.latency_s.p99
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split()[:4] == ["connections", "answers/s", "p50", "p99"]
    assert "At Cloudflare the work of" in shown.out
    assert "1 connection: " in shown.err


def test_no_more_requests_are_measured_than_were_ordered(bench: Bench) -> None:
    before = _requests(bench.url, CLASSIFY)
    (stage,) = bench.run(CLASSIFY, "--seconds", "1", "--connections", "2", "--requests", "7").stages
    assert stage.answered == 7
    assert stage.seconds < 1
    # And one was asked before, and some to warm up.
    assert _requests(bench.url, CLASSIFY) > before + 8


def _requests(url: str, model: str) -> float:
    """How many the server has answered."""
    text = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {os.environ.get('GATEWAY_KEY')}"}).text
    found = re.findall(rf'^gateway_requests_total{{.*model="{model}".*}} (\S+)$', text, re.MULTILINE)
    return sum(map(float, found))


def test_an_alias_is_measured_like_its_row_and_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.run("@cf/test/other", *SHORT)
    assert (run.subject.task, run.pricing.prices[0].price) == ("Text Embeddings", 11.0)
    assert f"{EMBED} answered: @cf/test/other is another name of it" in capsys.readouterr().out


def test_the_price_of_another_row_counts_if_it_is_named(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.run(CLASSIFY, *SHORT, "--priced-as", EMBED)
    assert run.stages[0].neurons is None
    assert "its price is for something that the answers do not count" in capsys.readouterr().out


def test_faults_are_counted_by_their_code_and_shown(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (stage,) = bench.run("@cf/test/falters", *SHORT).stages
    assert stage.answered > 0
    assert abs(stage.failed["3043"] - stage.answered) <= 1
    assert f"With 1 connection requests failed: {stage.failed['3043']:,} × 3043." in capsys.readouterr().out


def test_a_model_that_only_fails_ends_the_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.status("@cf/test/once", "--seconds", "60", "--connections", "1") == 1
    assert "100 requests in a row failed, the last with 3043" in capsys.readouterr().err


def test_a_busy_server_is_asked_again_when_it_says(bench: Bench) -> None:
    (stage,) = bench.run("@cf/test/narrow", "--seconds", "2", "--connections", "16").stages
    assert stage.waited["3040"] > 0
    assert stage.answered > 16
    assert set(stage.failed) <= {"3040"}  # of those that were to come again after the end


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("@cf/test/embet",), "serves no model @cf/test/embet; did you mean @cf/test/embed"),
        (("@cf/test/absent",), "run `gateway models pull @cf/test/absent`"),
        (("@cf/test/live",), "spoken over WebSocket alone"),
        ((CLASSIFY, "--connections", "1,x"), "--connections 1,x: numbers from 1 to 1024"),
        ((CLASSIFY, "--connections", "0"), "--connections 0: numbers from 1 to 1024"),
        ((CLASSIFY, "--connections", ""), "--connections : numbers from 1 to 1024"),
        ((CLASSIFY, "--watts", "60"), "--watts and --price-per-kwh belong together"),
        ((CLASSIFY, "--url", "ftp://localhost"), "an address looks like http://127.0.0.1:8787"),
        ((CLASSIFY, "--url", "http://127.0.0.1:1"), "start one with `gateway serve`, or say where it is with --url"),
        ((CLASSIFY, "--account", "12"), "an account id has 32 hexadecimal digits"),
        ((CLASSIFY, "--report", "/dev/null/report.html"), "name a file in a folder that exists"),
        ((CLASSIFY, "--json", "."), "name a file in a folder that exists"),
        ((CLASSIFY, "--audio", "no.wav"), "--audio no.wav cannot be read: No such file"),
        ((CLASSIFY, "--compare", "no.json"), "no.json cannot be read: No such file"),
        ((CLASSIFY, "--priced-as", CLASSIFY), "--priced-as @cf/test/classify: models.yaml has no price for it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], said: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.status(*arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err.splitlines()[-1]
    assert shown.err.splitlines()[-1].startswith("error: ")


def test_another_run_stands_beside_this_one(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, report = tmp_path / "first.json", tmp_path / "report.html"
    bench.run(EMBED, *SHORT).write(file)
    bench.run(EMBED, *SHORT, "--compare", str(file), "--report", str(report))
    shown = capsys.readouterr().out
    assert f"divided by {EMBED} at {bench.url}" in shown
    assert re.search(r"^ *1( +[\d,.]+ ×){3}", shown, re.MULTILINE)
    assert "This run divided by that one" in report.read_text(encoding="utf-8")
    assert bench.status(CLASSIFY, *SHORT, "--compare", str(file)) == 1
    assert "that run is of another task, Text Embeddings" in capsys.readouterr().err


def test_a_seed_is_drawn_and_told_unless_it_is_given(bench: Bench) -> None:
    assert bench.run(EMBED, *SHORT, "--seed", "11").subject.seed == 11
    assert bench.run(EMBED, *SHORT).subject.seed != bench.run(EMBED, *SHORT).subject.seed


def test_a_gateway_that_dies_is_told_and_what_was_done_is_shown(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", FAKE)
    with gateway("--models", str(models), "--home", str(tmp_path)) as server:
        url = f"http://127.0.0.1:{server.port}"
        line = [sys.executable, "-m", "gateway.cli.main", "bench", CLASSIFY, "--url", url]
        line += ["--connections", "1,2", "--requests", "30", "--seconds", "2"]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "each request" in process.stderr.readline()
        assert process.stderr.readline().startswith("1 connection: ")
        seen = _requests(url, CLASSIFY)
        assert eventually(lambda: _requests(url, CLASSIFY) > seen)  # the next stage is under way
        server.process.kill()
        out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.splitlines()[1].split()[0] == "1"
    assert f"nothing answers at {url}" in error
    assert "it ended while it was measured" in error
    assert "repeat the run" in error
