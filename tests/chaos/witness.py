"""What a served gateway says of its workers in its own log, and what it has open; for tests that harm them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.raw import open_names
from tests.chaos.test_life import Caller, serving
from tests.waiting import eventually

# Each worker's folder for temporary files has a name of its own.
_OF_A_WORKER = re.compile(r"(?<=/run/scratch/)[^/]+")
_NUMBER = re.compile(r"\d+")  # a socket's or a pipe's own
SHARED = ("psm_", "mp-", "sem.mp-")  # as multiprocessing names it; the rest is other programs'


@contextmanager
def watched(folder: Path, *rows: str, **env: str) -> Iterator[Caller]:
    """A gateway that logs JSON, and a client that keeps no connection open, so that what is open can be counted."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with (
        serving(folder, *rows, GATEWAY_LOG_FORMAT="json", **env) as gateway,
        httpx.Client(headers=gateway.http.headers, timeout=60, limits=limits) as http,
    ):
        yield replace(gateway, http=http)


def events(gateway: Caller, name: str) -> list[dict[str, Any]]:
    """The lines of the gateway's JSON log that tell of this event, oldest first."""
    found = []
    for line in list(gateway.server.log):
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == name:
                found.append(event)
    return found


def worker_of(gateway: Caller, name: str) -> int:
    """The process that was loaded last for a model."""
    return next(int(e["worker"]) for e in reversed(events(gateway, "model loaded")) if e["model"] == f"@test/{name}")


def at(event: dict[str, Any]) -> float:
    """When the event was logged, in seconds since the epoch."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def belongings(gateway: Caller, *folders: Path) -> Counter[str]:
    """All that a gateway could leave behind: processes, open files, names in shared memory and in `folders`."""
    front = gateway.server.process.pid
    held = Counter({"process": len(gateway.processes())})
    held.update(f"open {_NUMBER.sub('*', _OF_A_WORKER.sub('*', name))}" for name in open_names(front))
    held.update(f"shared {name}" for name in os.listdir("/dev/shm") if name.startswith(SHARED))
    held.update(_OF_A_WORKER.sub("*", str(path)) for folder in folders for path in folder.rglob("*"))
    return held


def left_behind(gateway: Caller, before: Counter[str], *folders: Path) -> Counter[str]:
    """What a gateway still has more of than `before`, once it has had time to let go.

    Less is no fault: the connection over which the last answer came may have been counted `before`.
    """
    eventually(lambda: belongings(gateway, *folders) <= before)
    return belongings(gateway, *folders) - before


@contextmanager
def bystander(gateway: Caller, name: str) -> Iterator[list[httpx.Response]]:
    """A caller of another model, at least once and until the end; each of its answers has to be right."""
    answers: list[httpx.Response] = []
    is_over = threading.Event()

    def call() -> None:
        with httpx.Client(timeout=60, headers=gateway.http.headers) as http:
            while not answers or not is_over.is_set():
                answers.append(http.post(gateway.server.run_url(f"@test/{name}"), json={"text": str(len(answers))}))

    before = worker_of(gateway, name)
    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield answers
    finally:
        is_over.set()
        caller.join()
    labels = [answer.json()["result"][0]["label"] for answer in answers if answer.status_code == 200]
    assert labels == [str(number) for number in range(len(answers))]
    assert worker_of(gateway, name) == before
