"""An offline gateway with every starter model sends no packet: none to another machine, none to a name service."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.config import Settings
from gateway.models_file import find_models_file, load_specs
from tests.chaos.enclosure import Enclosure, NotPermitted
from tests.engines.conftest import starter_files
from tests.server import Server, gateway

HEADERS = {"Authorization": "Bearer any"}
SENTENCE = "The train to London leaves in twenty minutes."
SPEECH, VOICE = "@local/espeak-ng", "@local/piper-joe"
HEARING, TURNS = "@cf/openai/whisper-tiny-en", "@local/smart-turn-v3"
QUESTIONS: dict[str, dict[str, Any]] = {
    "@local/minilm-sentiment": {"text": SENTENCE},
    "@local/all-minilm-l6-v2": {"text": [SENTENCE]},
    "@local/smollm2-135m-instruct": {"prompt": "Hi", "max_tokens": 4},
    SPEECH: {"prompt": SENTENCE},
    VOICE: {"prompt": SENTENCE},
}


@pytest.fixture
def enclosure() -> Iterator[Enclosure]:
    try:
        with Enclosure() as inside:
            yield inside
    except NotPermitted as reason:
        pytest.skip(f"no network namespace: {reason}")


def ask(server: Server, model: str, question: dict[str, Any]) -> Any:
    answer = httpx.post(server.run_url(model), json=question, headers=HEADERS, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def ask_all(server: Server) -> None:
    answers = {model: ask(server, model, question) for model, question in QUESTIONS.items()}
    for voice in (SPEECH, VOICE):
        audio = answers[voice]["audio"]
        assert "train" in ask(server, HEARING, {"audio": list(base64.b64decode(audio))})["text"]
    assert ask(server, TURNS, {"audio": audio})["is_complete"]


def test_no_packet_leaves_an_offline_gateway_and_its_starter_models(enclosure: Enclosure) -> None:
    """Without the sandbox, which would keep an attempt of a worker from becoming a packet."""
    starters = {spec.name for spec in load_specs(find_models_file(Settings())) if spec.starter}
    assert starters == {*QUESTIONS, HEARING, TURNS}
    for name in starters:
        starter_files(name)
    env = {"GATEWAY_OFFLINE": "1", "GATEWAY_SANDBOX": "off"}
    with enclosure.within(gateway(env=env)) as server:
        enclosure.run(ask_all, server)
    packets = enclosure.packets()
    assert any(packet.is_between(server.port) for packet in packets)
    assert {packet for packet in packets if not packet.is_between(server.port)} == set()


@pytest.mark.parametrize(
    ("attempt", "kind", "port"),
    [
        ("socket.create_connection(('203.0.113.7', 443), timeout=0.1)", "tcp", 443),
        ("socket.create_connection(('2001:db8:1::7', 443), timeout=0.1)", "tcp", 443),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('203.0.113.7', 123))", "udp", 123),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.53', 53))", "udp", 53),
        ("socket.getaddrinfo('gateway.example', 443)", "udp", 53),
    ],
)
def test_an_attempt_of_any_process_inside_is_seen(enclosure: Enclosure, attempt: str, kind: str, port: int) -> None:
    env = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}
    line = [sys.executable, "-c", f"import socket; {attempt}"]
    enclosure.run(lambda: subprocess.run(line, env=env, capture_output=True, timeout=30))
    assert (kind, port) in {(packet.kind, packet.port) for packet in enclosure.packets()}
