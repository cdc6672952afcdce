"""Keys on disk: made, listed, revoked, noticed by a running gateway, and never stored themselves."""

from __future__ import annotations

import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from gateway.api.access import Key, Scope
from gateway.api.keyfile import KeyFile, sha256
from gateway.api.keyring import REFRESH_S, Keyring
from gateway.app import create_app
from gateway.cli.keys import app as keys_command
from gateway.config import ConfigError, Settings
from tests.api.conftest import ACCOUNT, client_of


class Clock:
    """Time that passes when told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def test_a_created_key_opens_and_only_its_hash_is_stored(path: Path) -> None:
    key = KeyFile(path).create("laptop")
    ring = Keyring(KeyFile(path))
    assert ring.find(key.encode())
    assert not ring.find(b"")
    assert key not in path.read_text()
    assert json.loads(path.read_text())["keys"][0]["sha256"] == sha256(key.encode())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".tmp"] == []


def test_an_existing_file_with_loose_permissions_is_tightened(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"keys":[]}')
    path.chmod(0o644)
    KeyFile(path).create()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_names_are_given_in_order_and_unique(path: Path) -> None:
    file = KeyFile(path)
    file.create()
    file.create("key-3")
    file.create()
    file.create()
    assert [key.name for key in file.entries()] == ["key-1", "key-3", "key-2", "key-4"]
    with pytest.raises(ConfigError, match="key-3"):
        file.create("key-3")


def test_keys_created_at_the_same_time_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: KeyFile(path).create(), range(16)))
    ring = Keyring(KeyFile(path))
    assert all(ring.find(key.encode()) for key in keys)
    assert len({key.name for key in KeyFile(path).entries()}) == 16


def test_a_running_ring_follows_the_file_once_a_second(path: Path) -> None:
    clock = Clock()
    running, other = Keyring(KeyFile(path), clock=clock), KeyFile(path)
    assert not running.closed
    key = other.create("new").encode()
    running.refresh()
    assert not running.find(key)
    clock.now_s += REFRESH_S
    running.refresh()
    assert running.find(key)
    assert running.closed
    other.revoke("new")
    clock.now_s += REFRESH_S
    running.refresh()
    assert not running.find(key)


@pytest.mark.parametrize("vanish", ["revoke", "delete"])
def test_losing_the_last_key_shuts_out_everybody(path: Path, vanish: str) -> None:
    clock = Clock()
    key = KeyFile(path).create("only").encode()
    running = Keyring(KeyFile(path), clock=clock)
    if vanish == "revoke":
        KeyFile(path).revoke("only")
    else:
        path.unlink()
    clock.now_s += REFRESH_S
    running.refresh()
    assert (running.closed, running.find(key), running.has_keys()) == (True, None, False)


def test_an_empty_keys_file_is_closed_from_the_start(path: Path) -> None:
    KeyFile(path).create("only")
    KeyFile(path).revoke("only")
    assert Keyring(KeyFile(path)).closed


def test_a_key_of_a_file_without_scopes_may_do_everything(path: Path) -> None:
    path.parent.mkdir()
    row = {"name": "old", "sha256": sha256(b"old"), "created_at": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps({"keys": [row]}))
    ring = Keyring(KeyFile(path))
    assert ring.find(b"old") == Key(**row, scopes=tuple(Scope))
    KeyFile(path).create("new")
    assert Keyring(KeyFile(path)).find(b"old") == Key(**row, scopes=tuple(Scope))


def bad(**fields: Any) -> str:
    return json.dumps({"keys": [{"name": "a", "sha256": "0" * 64, "created_at": "", **fields}]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"keys":[{"name":"a"}]}',
        '{"keys":5}',
        bad(scopes=["write"]),
        bad(rate_limits={"text-generaton": 5}),
        bad(rate_limits={"text-generation": -1}),
        bad(max_cost={"token": 5}),
        bad(max_sessions=-1),
    ],
)
def test_a_broken_file_stops_the_start_and_changes_no_running_ring(path: Path, text: str) -> None:
    clock = Clock()
    key = KeyFile(path).create("only").encode()
    running = Keyring(KeyFile(path), clock=clock)
    path.write_text(text)
    clock.now_s += REFRESH_S
    with structlog.testing.capture_logs() as logs:
        running.refresh()
    assert running.find(key)
    assert [line["event"] for line in logs] == ["keys file not read, keys unchanged"]
    with pytest.raises(ConfigError, match="keys"):
        Keyring(KeyFile(path))


@pytest.mark.parametrize("value", ["secret", "0" * 63, "G" * 64])
def test_a_setting_that_is_no_hash_is_refused_without_showing_it(path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Keyring(KeyFile(path), (value,))
    assert value not in str(raised.value)
    assert "GATEWAY_KEY_HASHES" in str(raised.value)


def test_keys_of_settings_and_file_both_open(path: Path) -> None:
    key = KeyFile(path).create()
    ring = Keyring(KeyFile(path), (sha256(b"fixed"),))
    assert ring.find(b"fixed")
    assert ring.find(key.encode())


async def test_the_first_key_closes_a_running_gateway(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), [])
    clock = Clock()
    ring = app.state.gateway.keys
    ring._clock, ring._checked = clock, 0.0
    async with client_of(app, headers={"authorization": "Bearer any"}) as http:
        verify = f"/accounts/{ACCOUNT}/tokens/verify"
        assert (await http.get(verify)).status_code == 200
        key = KeyFile.of(Settings(home=tmp_path)).create()
        clock.now_s += REFRESH_S
        assert (await http.get(verify)).status_code == 401
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get(verify, headers={"authorization": f"Bearer {key}"})).status_code == 200


def test_the_command_creates_lists_and_revokes(path: Path) -> None:
    command, where = CliRunner(), ["--keys-file", str(path)]
    created = command.invoke(keys_command, ["create", "--name", "laptop", *where])
    key = created.stdout.strip()
    assert Keyring(KeyFile(path)).find(key.encode())
    listed = command.invoke(keys_command, ["list", *where]).stdout
    assert "laptop" in listed
    assert "run read" in listed
    assert key not in listed
    revoked = command.invoke(keys_command, ["revoke", "laptop", *where])
    assert "No key is left" in revoked.stderr
    assert not Keyring(KeyFile(path)).find(key.encode())
    again = command.invoke(keys_command, ["revoke", "laptop", *where])
    assert isinstance(again.exception, ConfigError)


def test_the_command_shows_what_a_key_was_made_to_do(path: Path) -> None:
    command, where = CliRunner(), ["--keys-file", str(path)]
    bounds = ["--max-cost", "tokens=4000", "--max-sessions", "7"]
    options = ["--scope", "run", "--account", ACCOUNT.upper(), "--rate-limit", "*=9", "--rate-limit", "translation=2"]
    made = command.invoke(keys_command, ["create", "--name", "team", *options, *bounds, *where])
    found = Keyring(KeyFile(path)).find(made.stdout.strip().encode())
    assert found is not None
    assert (found.scopes, found.accounts, found.max_cost) == ((Scope.RUN,), (ACCOUNT,), {"tokens": 4000})
    assert found.max_sessions == 7
    assert (found.rate_limits["translation"], found.rate_limits["text-generation"]) == (2, 9)
    shown = command.invoke(keys_command, ["show", "team", *where]).stdout
    for line in (
        f"accounts +{ACCOUNT}",
        "scopes +run",
        r"requests a minute +\*=9 translation=2",
        "one request +tokens=4000",
        "sessions at once +7",
    ):
        assert re.search(f"{line}\n", shown), line
    assert made.stdout.strip() not in shown


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--scope", "write"], "--scope write: there are run, read, admin"),
        (["--account", "12"], "--account 12: an account id has 32 hexadecimal digits"),
        (["--rate-limit", "translate=2"], "--rate-limit: no limit is named 'translate'"),
        (["--max-cost", "tokens"], "--max-cost: 'tokens' is not NAME=NUMBER"),
    ],
)
def test_the_command_makes_no_key_of_wrong_options(path: Path, options: list[str], reason: str) -> None:
    done = CliRunner().invoke(keys_command, ["create", *options, "--keys-file", str(path)])
    assert isinstance(done.exception, ConfigError)
    assert done.exception.detail.startswith(reason)
    assert not path.exists()


def test_the_command_uses_the_home_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_HOME", str(tmp_path))
    key = CliRunner().invoke(keys_command, ["create"]).stdout.strip()
    assert Keyring.of(Settings()).find(key.encode())
    assert (tmp_path / "keys.json").exists()
