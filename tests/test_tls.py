"""`gateway serve --tls-cert`: a client that trusts the certificate is served, and unusable files end the start."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import websockets.sync.client

from tests.certificates import make_certificate
from tests.chaos import raw
from tests.chaos.test_front import HEADERS, ROOT
from tests.server import gateway, write_models
from tests.test_dockerfile import last

ROW = '{name: "@local/a", task: text-classification, engine: fake}'


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1, its key, both in one file, and the key encrypted."""
    folder = tmp_path_factory.mktemp("pem")
    make_certificate(folder)
    lock = "openssl ec -in key.pem -aes256 -passout pass:secret -out locked.pem"
    subprocess.run(lock.split(), cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return folder


@pytest.mark.parametrize("files", [("cert.pem", "key.pem"), ("both.pem", None)])
def test_https_is_served_and_the_health_check_passes(files: tuple[str, str | None], pem: Path, tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", ROW)
    options = [f"--tls-cert={pem / files[0]}", *([f"--tls-key={pem / files[1]}"] if files[1] else [])]
    with gateway("--models", str(models), "--home", str(tmp_path), "--no-pull", *options) as server:
        trust = ssl.create_default_context(cafile=pem / "cert.pem")
        url = server.run_url("@local/a").replace("http:", "https:")
        answer = httpx.post(url, json={"text": "a"}, headers={"Authorization": "Bearer any"}, verify=trust, timeout=60)
        assert answer.json()["success"] is True
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/health")
        check = [sys.executable, *last("HEALTHCHECK").words()[1:]]
        environment = {**os.environ, "GATEWAY_PORT": str(server.port), "GATEWAY_TLS_CERT": str(pem / files[0])}
        assert subprocess.run(check, env=environment, timeout=60).returncode == 0
        top = [sys.executable, "-m", "gateway.cli.main", "top", "--once", "--all"]
        untrusted = subprocess.run(top, env=environment, timeout=60, capture_output=True, text=True)
        assert untrusted.returncode == 1
        assert "is not trusted: name the file of its authority in SSL_CERT_FILE" in untrusted.stderr
        environment["SSL_CERT_FILE"] = str(pem / "cert.pem")
        shown = subprocess.run(top, env=environment, timeout=60, capture_output=True, text=True)
        assert (shown.returncode, "@local/a" in shown.stdout) == (0, True)


def test_requests_follow_each_other_and_sockets_are_upgraded_within_tls(pem: Path, tmp_path: Path) -> None:
    spell = "{name: '@test/spell', task: text-to-speech, engine: 'tests.fixtures.engines.spells:Engine', shape: aura, "
    models = write_models(tmp_path / "models.yaml", ROW, spell + f"options: {{gate: {tmp_path / 'gate'}}}}}")
    options = (f"--tls-cert={pem / 'cert.pem'}", f"--tls-key={pem / 'key.pem'}", "--no-pull")
    with gateway("--models", str(models), "--home", str(tmp_path), *options, env={"PYTHONPATH": ROOT}) as server:
        trust = ssl.create_default_context(cafile=pem / "cert.pem")
        base = server.run_url("").replace("http:", "https:")
        with httpx.Client(verify=trust, timeout=60, headers=HEADERS) as client:
            for text in ("a", "b" * 100_000):
                assert client.post(f"{base}@local/a", json={"text": text}).status_code == 200
        address = f"{base}@test/spell".replace("https:", "wss:")
        with websockets.sync.client.connect(address, ssl=trust, additional_headers=HEADERS, proxy=None) as live:
            for message in ('{"type": "Speak", "text": "one"}', '{"type": "Close"}'):
                live.send(message)
            assert b"[one]" in list(live)


@pytest.mark.parametrize("half", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n"])
def test_who_does_not_finish_the_handshake_is_cut_off(half: bytes, pem: Path, tmp_path: Path) -> None:
    models = write_models(tmp_path / "models.yaml", ROW)
    options = (f"--tls-cert={pem / 'both.pem'}", "--no-pull")
    arguments = ("--models", str(models), "--home", str(tmp_path), *options)
    with gateway(*arguments, env={"GATEWAY_CLIENT_TIMEOUT_S": "1"}) as server, raw.connect(server) as silent:
        silent.sendall(half)
        answer = raw.rest_of(silent)  # the end comes, or this raises
        assert answer[:1] in (b"", b"\x15")  # if anything, an alert of TLS
        trust = ssl.create_default_context(cafile=pem / "cert.pem")
        assert httpx.get(f"https://127.0.0.1:{server.port}/health", verify=trust, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--tls-key", "key.pem"), "--tls-key needs --tls-cert"),
        (("--tls-cert", "cert.pem"), "no certificate with its unencrypted private key in cert.pem"),
        (("--tls-cert", "nowhere.pem"), "no certificate with its unencrypted private key in nowhere.pem"),
        (("--tls-cert", "cert.pem", "--tls-key", "locked.pem"), "private key in cert.pem and locked.pem"),
    ],
)
def test_files_that_cannot_be_served_end_the_start(options: tuple[str, ...], reason: str, pem: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--no-pull", "--port", "0", *options]
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "GATEWAY_HOME": str(pem)}
    done = subprocess.run(command, cwd=pem, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert reason in done.stderr
