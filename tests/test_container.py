"""The entry point of Dockerfile.gpu as a user without rights on a read-only file system."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.server import gateway
from tests.test_dockerfile import all_of, last, settings, site, sources

__all__ = ["site", "sources"]

MODELS = 'models: [{name: "@local/fake", task: text-classification, engine: fake, preload: true}]\n'
# A folder bound to itself or elsewhere stays writable when what is around it becomes read-only. The one right that is
# left lets the user read everywhere, for an interpreter that lies in a folder of root's; it writes nothing.
ENTER = r"""
set -eu
mount --make-rprivate /
mount --bind "$1" /mnt
mount --bind /mnt/home /mnt/home
mount --bind /mnt/tmp /tmp
mount -o remount,bind,ro /mnt
mount -o remount,bind,ro /
cd /mnt/home
right=-all,+dac_read_search
exec setpriv --reuid "$2" --regid "$2" --clear-groups --no-new-privs \
    --inh-caps="$right" --ambient-caps="$right" --bounding-set="$right" "${@:3}"
"""


def can_mount() -> bool:
    """Whether this process may have mounts of its own."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv"))):
        return False
    return subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.skipif(not can_mount(), reason="needs the right to mount"),
    pytest.mark.skipif(
        Path(sys.prefix).is_relative_to("/tmp"), reason="the interpreter lies below /tmp, which the container hides"
    ),
]


@dataclass(frozen=True)
class Container:
    """A folder with what the image has: the package in `site`, the volume in `home`, and `tmp`."""

    folder: Path

    def command(self, *words: str) -> tuple[str, ...]:
        """The words that run `words` in it, as the image's user."""
        user = last("USER").text.partition(":")[0]
        return ("unshare", "--mount", "bash", "-c", ENTER, "enter", str(self.folder), user, *words)

    def entry(self, *words: str) -> tuple[str, ...]:
        """The image's entry point with `words` as its command."""
        start = last("ENTRYPOINT").words()
        return self.command(*(start if shutil.which("tini") else start[start.index("--") + 1 :]), *words)

    def environment(self) -> dict[str, str]:
        """What the image sets, with its folders where they are here."""
        paths = f"/mnt/site/bin:{Path(sys.executable).parent}:/usr/bin:/bin"
        return {
            **settings(),
            "PATH": paths,
            "PYTHONPATH": "/mnt/site",
            "GATEWAY_HOME": "/mnt/home",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        environment = self.environment() | environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def container(site: Path, tmp_path: Path) -> Container:
    user = int(last("USER").text.partition(":")[0])
    shutil.copytree(site, tmp_path / "site")
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, user, user)
    (tmp_path / "home" / "models.yaml").write_text(MODELS)
    tmp_path.chmod(0o755)
    return Container(tmp_path)


def test_the_image_gets_a_user_without_a_shell_who_owns_the_volume(tmp_path: Path) -> None:
    shutil.copytree("/etc", tmp_path / "etc", symlinks=True, ignore=shutil.ignore_patterns("*.lock"))
    (tmp_path / "lib").mkdir()
    enter = f"mount --make-rprivate / && mount --bind {tmp_path}/etc /etc && mount --bind {tmp_path}/lib /var/lib"
    (users,) = (run.text for run in all_of("RUN", "final") if "useradd" in run.text)
    told = 'id gateway && getent passwd gateway && stat --format "%u:%g %a %n" /var/lib/gateway'
    done = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", f"{enter} && {users} && {told}"], capture_output=True, text=True
    )
    identity, entry, volume = done.stdout.splitlines()
    assert identity == "uid=10001(gateway) gid=10001(gateway) groups=10001(gateway)", done.stderr
    assert entry.endswith(":/tmp:/usr/sbin/nologin")
    assert volume == f"{last('USER').text} 750 {last('VOLUME').text}"


def test_nothing_but_the_volume_and_tmp_can_be_written(container: Container) -> None:
    script = "touch /mnt/home/a /tmp/b; touch /c /var/d /mnt/site/e /mnt/f; id -u"
    done = container.run(*container.command("bash", "-c", script))
    assert done.stdout == "10001\n"
    assert done.stderr.count("Read-only file system") == 4
    assert (container.folder / "home" / "a").exists()
    assert (container.folder / "tmp" / "b").exists()


def test_without_a_key_it_does_not_listen_and_says_what_to_do(container: Container) -> None:
    done = container.run(*container.entry(*last("CMD").words(), "--no-pull"), GATEWAY_PORT="0")
    assert done.returncode == 1
    assert "will not listen on 0.0.0.0 without a key: run `gateway keys create` first" in done.stderr


def test_it_serves_with_a_key_is_healthy_and_ends_at_sigterm(container: Container) -> None:
    made = container.run(*container.entry("keys", "create", "--name", "test"))
    assert made.returncode == 0, made.stderr
    with gateway(
        "--no-pull", command=container.entry(*last("CMD").words()), env=container.environment(), inherit=False
    ) as server:
        url, body = server.run_url("@local/fake"), {"text": "hello"}
        check = container.command(*last("HEALTHCHECK").words())
        assert container.run(*check, GATEWAY_PORT=str(server.port)).returncode == 0
        assert httpx.post(url, json=body, headers={"Authorization": "Bearer wrong"}).status_code == 401
        answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {made.stdout.strip()}"}, timeout=60)
        assert answer.json()["result"][0]["label"] == "SHORT"
        with httpx.stream("GET", f"http://127.0.0.1:{server.port}/ready") as closed:
            assert closed.status_code in (400, 401)
        assert container.run(*container.command("gateway", "ready")).stdout == "ready\n"
        assert server.stop() == 0, "".join(server.log)
        assert "Application shutdown complete." in "".join(server.log)
    assert container.run(*check, GATEWAY_PORT=str(server.port)).returncode != 0
    assert not list((container.folder / "tmp").iterdir())


def test_keys_may_come_as_hashes_or_as_a_file_that_cannot_be_written(container: Container) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    keys = container.folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{"name": "k", "sha256": digest, "created_at": "2026-01-01T00:00:00+00:00"}]}))
    for way in ({"GATEWAY_KEY_HASHES": digest}, {"GATEWAY_KEYS_FILE": "/mnt/keys.json"}):
        environment = container.environment() | way
        with gateway("--no-pull", command=container.entry("serve"), env=environment, inherit=False) as server:
            url = f"http://127.0.0.1:{server.port}/metrics"
            assert httpx.get(url, headers={"Authorization": "Bearer secret"}).status_code == 200
