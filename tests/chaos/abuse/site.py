"""One real gateway under attack: what must hold for every request that means harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.server import Server

MAX_GROWTH_MIB = 64
TIMEOUT_S = 30
NEIGHBOUR = "@test/neighbour"
HEADERS = {"Authorization": "Bearer any"}


def peak_bytes(pid: int) -> int:
    """The most resident memory that a process had since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak(pid: int) -> None:
    """Let the peak of a process begin at what it has now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@dataclass
class Site:
    """A gateway whose models are all loaded, and their workers known."""

    server: Server
    processes: dict[int, psutil.Process] = field(default_factory=dict)

    def look(self) -> None:
        """Take the processes that are there now for those that must stay."""
        self.processes = self._now()

    def post(self, model: str, **request: Any) -> httpx.Response:
        """The answer to a request, which must come within a bounded time."""
        headers = {**HEADERS, **request.pop("headers", {})}
        return httpx.post(self.server.run_url(model), headers=headers, timeout=TIMEOUT_S, **request)

    def refuses(self, model: str, code: int = 5006, status: int = 400, **request: Any) -> str:
        """The message of the refusal with that code, which cost no process much and no neighbour its answer."""
        with self.unmoved():
            answer = self.post(model, **request)
        return refusal(answer, code, status)

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """Meanwhile a neighbour is answered, every process stays, and none grows by `MAX_GROWTH_MIB`."""
        before = {pid: process.memory_info().rss for pid, process in self.processes.items()}
        for pid in before:
            forget_peak(pid)
        answers: list[httpx.Response] = []
        is_over = threading.Event()
        neighbour = threading.Thread(target=self._ask_until, args=(is_over, answers))
        neighbour.start()
        try:
            yield
        finally:
            is_over.set()
            neighbour.join(2 * TIMEOUT_S)
        assert answers, "the neighbour had no answer"
        assert {answer.status_code for answer in answers} == {200}
        assert self._now().keys() == self.processes.keys(), "a process ended or began"
        growth_mib = {self._name(pid): (peak_bytes(pid) - rss) >> 20 for pid, rss in before.items()}
        assert max(growth_mib.values()) < MAX_GROWTH_MIB, growth_mib

    def _ask_until(self, is_over: threading.Event, answers: list[httpx.Response]) -> None:
        """Ask, at least once and again until it is over."""
        with httpx.Client(headers=HEADERS, timeout=TIMEOUT_S) as http:
            while not answers or not is_over.is_set():
                answers.append(http.post(self.server.run_url(NEIGHBOUR), json={"text": "still here"}))

    def _now(self) -> dict[int, psutil.Process]:
        front = psutil.Process(self.server.process.pid)
        return {process.pid: process for process in (front, *front.children(recursive=True))}

    def _name(self, pid: int) -> str:
        return "front" if pid == self.server.process.pid else f"worker {pid}"


def refusal(answer: httpx.Response, code: int, status: int = 400) -> str:
    """The message of an answer that must be a refusal with that code, and must tell nothing of our insides."""
    assert answer.status_code == status, answer.text[:500]
    (error,) = answer.json()["errors"]
    assert error["code"] == code, error
    message = str(error["message"])
    assert "Traceback" not in message
    assert len(message) < 1000
    return message
