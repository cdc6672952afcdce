"""The soak's bookkeeping, and a few seconds of it; nothing here asserts how fast anything is."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from scripts.benchmarks.bench import starter, starters
from scripts.benchmarks.client import Address, Reply
from scripts.benchmarks.soak.book import Book, Tally
from scripts.benchmarks.soak.caller import Caller
from scripts.benchmarks.soak.command import keep
from scripts.benchmarks.soak.kinds import Question, kinds
from scripts.benchmarks.soak.malformed import Malformed
from scripts.benchmarks.soak.report import markdown
from scripts.benchmarks.soak.soak import Course, Plan, soak
from scripts.benchmarks.soak.watch import Counts, Look, slope_mb_per_hour

ROWS = [starter(name) for name in ("@local/minilm-sentiment", "@local/all-minilm-l6-v2", "@local/espeak-ng")]
ABOUT = {
    "at": "2026-11-23T00:00:00+00:00",
    "commit": "f" * 40,
    "changed": False,
    "command": "scripts/bench soak",
    "machine": {"cores": 2, "model": "a machine", "kernel": "6"},
}
CLASSES = [{"label": "NEGATIVE", "score": 0.25}, {"label": "POSITIVE", "score": 0.75}]


async def test_a_few_seconds_swap_models_and_lose_nothing(tmp_path: Path) -> None:
    """Two of the three rows do not fit together, and the seed has callers begin with each of the three.

    However slow the machine is, these first requests are made, and waited for.
    """
    shown: list[int] = []
    plan = Plan(minutes=0.05, connections=6, memory_gib=0.4, seed=1)
    course = await soak(plan, ROWS, tmp_path / "run", lambda course: shown.append(course.book.settled))
    assert course.faults() == []
    assert course.counts.unloads["evicted"] > 0
    assert course.counts.loads > course.counts.unloads["evicted"]
    answered = {name for name, tally in course.book.tallies.items() if tally.seconds}
    assert answered >= {"classification", "embeddings, OpenAI", "speech synthesis"}
    assert len(shown) == len(course.looks)
    assert all(look.processes > 3 and look.files > 3 and look.front_bytes > 1 << 20 for look in course.looks)
    keep(course, ABOUT, tmp_path / "soak.json")
    kept = json.loads((tmp_path / "soak.json").read_text())
    assert kept["requests"]["all"]["answered"] == course.book.answered
    assert (kept["unloads"], kept["faults"]) == (course.counts.unloads, [])
    assert len(kept["looks"]) == len(course.looks)
    assert f"| all | {kept['requests']['all']['sent']} | {course.book.answered} |" in (tmp_path / "soak.md").read_text()
    assert (tmp_path / "soak.svg").read_text().count('<g id="axes_') == 3


def test_the_slope_is_that_of_the_fitted_line() -> None:
    """By hand: t̄ = 1.5 s, Σ(t−t̄)(y−ȳ) = 4 MB·s, Σ(t−t̄)² = 5 s²: 0.8 MB/s."""
    looks = [Look(float(at_s), bytes_, 1, 1, 0) for at_s, bytes_ in enumerate((10**6, 3 * 10**6, 2 * 10**6, 4 * 10**6))]
    assert slope_mb_per_hour(looks[:1]) == 0
    assert slope_mb_per_hour(looks) == pytest.approx(0.8 * 3600)


def test_only_looks_after_the_warm_up_are_judged() -> None:
    looks = [Look(float(at_s), 0, 0, 0, 0) for at_s in range(60)]
    course = Course(Plan(1.0, 1, 1.0, 1, warm_up=0.5), [], Book({}), looks=looks)
    assert [look.at_s for look in course.judged] == [float(at_s) for at_s in range(30, 60)]


@pytest.mark.parametrize(
    ("code", "is_fault"), [("429/3040", False), ("500/3043", True), ("no answer", True), ("200, another answer", True)]
)
def test_only_want_of_memory_may_be_refused(code: str, is_fault: bool) -> None:
    book = Book({"chat": Tally()})
    book.blame("chat", code, "the text")
    course = Course(Plan(1.0, 1, 1.0, 1), [], book, looks=[Look(30.0, 10**8, 40, 8, 0)], seconds=60.0)
    assert course.faults() == ([f"chat: 1 × {code}: the text"] if is_fault else [])
    assert f"| chat | 1 | 0 | {int(not is_fault)} | 0 | {int(is_fault)} |" in markdown(course, ABOUT)


def test_workers_that_end_and_things_left_behind_are_faults() -> None:
    counts = Counts(loads=3, restarts=Counter(died=2))
    course = Course(Plan(1.0, 1, 1.0, 1), [], Book({}), counts=counts, left_behind=["process 7"])
    assert course.faults() == ["workers ended unasked: 2 × died", "left behind: process 7"]


@asynccontextmanager
async def _answering(status: int, document: object, cut: int = 0) -> AsyncIterator[Address]:
    """Gives every request that answer, without its last `cut` bytes."""
    body = json.dumps(document).encode()
    answer = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.write(answer[: len(answer) - cut])
            if cut:
                writer.close()
                return

    async def forgiving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(forgiving, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield Address(host, port)


@pytest.mark.parametrize(
    ("status", "document", "cut", "code"),
    [
        (200, {"result": CLASSES}, 0, None),
        (200, {"result": CLASSES[:1]}, 0, "200, another answer"),
        (200, {"result": CLASSES}, 1, "no answer"),
        (429, {"errors": [{"code": 3040}]}, 0, "429/3040"),
        (500, {"errors": [{"code": 3043}]}, 0, "500/3043"),
        (502, "a proxy's page", 0, "502/0"),
    ],
)
async def test_a_caller_notes_what_it_was_told(status: int, document: object, cut: int, code: str | None) -> None:
    book = Book({"classification": Tally()})
    async with _answering(status, document, cut) as address:
        offences = [Malformed("x", b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", status, 0)]
        caller = Caller(address, {"classification": kinds(ROWS[:1], [])["classification"]}, offences, book, Random(1))
        await caller.call(time.monotonic() + 0.2)
    tally = book.tallies["classification"]
    assert tally.sent > tally.left
    assert (bool(tally.seconds), set(tally.refusals)) == (code is None, set() if code is None else {code})


def test_a_stream_that_ends_with_an_error_is_no_answer() -> None:
    (question,) = [kinds([starter("@local/smollm2-135m-instruct")], [])["chat, streamed"](Random(1))]
    whole, broken = (
        Reply(200, 1.0, [(0.5, b'data: {"response": "a"}\n\ndata: {"response": "b"}\n\n' + end)])
        for end in (b"data: [DONE]\n\n", b'data: {"errors": [{"code": 3043}]}\n\n')
    )
    assert isinstance(question, Question)
    assert question.is_answered_by(whole)
    assert not question.is_answered_by(broken)


def test_every_starter_is_asked() -> None:
    questions = [kind(Random(1)) for kind in kinds(starters(), [b"a clip"]).values()]
    asked = [question.path + question.body.decode("latin-1") for question in questions]
    assert [row.name for row in starters() if not any(row.name in text for text in asked)] == []
