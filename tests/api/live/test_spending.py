"""What a session would have cost on Cloudflare: in the metrics, in its log line and in Nova's last message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import structlog
from prometheus_client import CollectorRegistry

from gateway.app import create_app
from gateway.config import Settings
from tests.api.conftest import FIXTURES, row, until
from tests.api.live.conftest import LISTEN, PCM, Live, rest, serving, sound

HEARS = f"{FIXTURES}.hears:Engine"
MINUTE, LIVE_MINUTE = (
    {"unit": "per audio minute", "price": 0.066},
    {"unit": "per audio minute (WebSocket)", "price": 0.66},
)
CHARACTERS = {"unit": "per 1k characters", "price": 0.011}
CLOSE = '{"type":"CloseStream"}'
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def priced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    spells = {"engine": f"{FIXTURES}.spells:Engine", "shape": "aura", "options": {"gate": "none"}}
    models = [
        row("flux", LISTEN, HEARS, shape="flux", properties={"price": [LIVE_MINUTE]}),
        row("nova", LISTEN, HEARS, shape="nova-3", properties={"price": [MINUTE, LIVE_MINUTE]}),
        row("whisper", LISTEN, HEARS, shape="nova-3", properties={"price": [MINUTE]}),
        row("free", LISTEN, HEARS, shape="nova-3"),
        row("turn", "voice-activity-detection", "silero_turn", properties={"price": [MINUTE]}),
        row("spell", "text-to-speech", **spells, properties={"price": [CHARACTERS]}),
    ]
    async with serving(create_app(Settings(home=tmp_path_factory.mktemp("priced"), grace_s=0.0), models)) as live:
        yield live


def metered(live: Live, name: str) -> float | None:
    registry: CollectorRegistry = live.app.state.gateway.metrics.registry
    return registry.get_sample_value("gateway_neurons_total", {"model": f"@cf/test/{name}"})


async def session(
    live: Live, name: str, *messages: bytes | str, leaves: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    """All messages of a session that says these, and its log line; whoever `leaves` does not wait for the end."""
    with structlog.testing.capture_logs() as lines:
        async with live.connect(name, **(PCM if name != "spell" else {})) as client:
            for message in messages:
                await client.send(message)
            found = [await client.recv()] if leaves else await rest(client)
        await until(lambda: any(line["event"] == "request" for line in lines))
    (line,) = (line for line in lines if line["event"] == "request")
    return found, dict(line)


@pytest.mark.parametrize(
    ("name", "neurons"),
    [
        ("flux", 2500.0),  # 2.5 s of 0.66 USD a minute
        ("nova", 2500.0),
        ("whisper", 250.0),
        ("free", None),
    ],
)
async def test_a_session_costs_its_sound_once(priced: Live, name: str, neurons: float | None) -> None:
    before = metered(priced, name) or 0.0
    _, line = await session(priced, name, sound(1, 2), sound(0, 3, 0), CLOSE)
    assert (line.get("neurons"), line["audio_s"], line["status"]) == (neurons, 2.5, 101)
    assert (metered(priced, name) or 0.0) - before == pytest.approx(neurons or 0.0)


@pytest.mark.parametrize(
    ("name", "usage"), [("nova", {"neurons": 500.0}), ("whisper", {"neurons": 50.0}), ("free", None)]
)
async def test_novas_last_message_tells_the_neurons(priced: Live, name: str, usage: Any) -> None:
    (*_, last), _ = await session(priced, name, sound(1), CLOSE)
    assert (last["type"], last["duration"], last.get("usage")) == ("Metadata", 0.5, usage)


async def test_what_was_heard_counts_though_the_caller_leaves(priced: Live) -> None:
    before = metered(priced, "nova") or 0.0
    _, line = await session(priced, "nova", sound(1, 0, 0), leaves=True)
    assert line["audio_s"] == 1.5
    assert line["neurons"] == pytest.approx((metered(priced, "nova") or 0.0) - before)


async def test_a_session_without_sound_costs_nothing(priced: Live) -> None:
    _, line = await session(priced, "nova", CLOSE)
    assert (line["neurons"], line["audio_s"]) == (0.0, 0.0)


async def test_each_turn_that_is_judged_costs_its_own_sound(priced: Live) -> None:
    before = metered(priced, "turn") or 0.0
    samples = bytes(2 * 16_000)
    answers, line = await session(priced, "turn", samples, b"", samples * 2, CLOSE)
    assert [sorted(answer) for answer in answers] == [
        ["is_complete", "probability"],
        ["code", "message", "type"],
        ["is_complete", "probability"],
    ]
    assert line["neurons"] == pytest.approx(300.0)
    assert (metered(priced, "turn") or 0.0) - before == pytest.approx(300.0)


async def test_what_is_said_costs_its_characters(priced: Live) -> None:
    before = metered(priced, "spell") or 0.0
    words = ['{"type":"Speak","text":"twelve chars"}', '{"type":"Flush"}', '{"type":"Speak","text":"four"}']
    _, line = await session(priced, "spell", *words, '{"type":"Close"}')
    assert line["neurons"] == pytest.approx(16.0)
    assert "audio_s" not in line
    assert (metered(priced, "spell") or 0.0) - before == pytest.approx(16.0)
