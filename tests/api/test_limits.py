"""How limits are written and which of them count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.api.access import Key
from gateway.api.keyfile import KeyFile, sha256
from gateway.api.keyring import Keyring
from gateway.api.limits import CLOUDFLARE, LARGEST_RATE, TASK_NAMES
from gateway.config import ConfigError, Settings

CHAT, EMBED = "text-generation", "text-embeddings"


def settled(home: Path, own: dict[str, int], common: str) -> dict[str, int]:
    """The rates that count for a key with those of its own, in a gateway with those in common."""
    KeyFile(home / "keys.json").create("key", Key("", "", rate_limits=own))
    ring = Keyring.of(Settings(home=home, rate_limits=common))  # type: ignore[arg-type] - as the environment has it
    (row,) = ring._keys
    return dict(row.rate_limits)


@pytest.mark.parametrize(
    ("own", "common", "chat", "embed"),
    [
        ({}, "", None, None),
        ({}, "text-generation=5", 5, None),
        ({}, "*=9, text-generation=5", 5, 9),
        ({CHAT: 2}, "text-generation=5,text-embeddings=7", 2, 7),
        ({CHAT: 0}, "*=9", None, 9),
        ({"*": 3}, "text-generation=5", 3, 3),
        ({"*": 3, CHAT: 0}, "text-generation=5", None, 3),
        ({}, "cloudflare", 300, 3000),
        ({}, "cloudflare,text-generation=5", 5, 3000),
    ],
)
def test_a_keys_own_limit_counts_before_the_common_one_and_a_named_task_before_all(
    tmp_path: Path, own: dict[str, int], common: str, chat: int | None, embed: int | None
) -> None:
    found = settled(tmp_path, own, common)
    assert (found.get(CHAT), found.get(EMBED)) == (chat, embed)
    assert set(found) <= set(TASK_NAMES)


def test_limits_count_for_callers_without_a_key_and_for_keys_of_the_settings(tmp_path: Path) -> None:
    values: dict[str, Any] = {"rate_limits": "*=4", "max_cost": "tokens=100", "key_hashes": (sha256(b"key"),)}
    ring = Keyring.of(Settings(home=tmp_path, **values))
    for caller in (ring.anyone, ring.find(b"key")):
        assert caller is not None
        assert (caller.rate_limits[CHAT], caller.max_cost) == (4, {"tokens": 100})


def test_cloudflares_table_names_tasks_that_there_are() -> None:
    assert set(CLOUDFLARE) <= set(TASK_NAMES)


@pytest.mark.parametrize(
    ("setting", "text", "reason"),
    [
        ("rate_limits", "text-generaton=5", "no limit is named 'text-generaton'"),
        ("rate_limits", "text-generation", "'text-generation' is not NAME=NUMBER"),
        ("rate_limits", "text-generation=-1", "is not NAME=NUMBER"),
        ("rate_limits", "text-generation=1.5", "is not NAME=NUMBER"),
        ("rate_limits", "text-generation=٣", "is not NAME=NUMBER"),
        ("rate_limits", f"text-generation={LARGEST_RATE + 1}", f"must be from 0 to {LARGEST_RATE}"),
        ("max_cost", "token=5", "no limit is named 'token' (there are: audio_seconds, "),
        ("max_cost", "*=5", "no limit is named '*'"),
        ("max_cost", "tokens=" + "9" * 5000, "is not NAME=NUMBER"),
    ],
)
def test_a_limit_that_would_never_count_stops_the_start_and_is_named(
    tmp_path: Path, setting: str, text: str, reason: str
) -> None:
    values: dict[str, Any] = {setting: text}
    with pytest.raises(ConfigError) as raised:
        Keyring.of(Settings(home=tmp_path, **values))
    assert f"GATEWAY_{setting.upper()}: " in raised.value.detail
    assert reason in raised.value.detail
