"""The benchmarks' arithmetic and their load client; nothing here asserts how fast anything is."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from scripts.benchmarks import gpu_chat
from scripts.benchmarks.bench import Bench, Figures
from scripts.benchmarks.client import Address, Connection, Reply, get, post
from scripts.benchmarks.load import Refused, drive
from scripts.benchmarks.overhead import ECHO
from scripts.benchmarks.references.peer import PeerFailed, peer
from scripts.benchmarks.report import Aim, Row, Sample, figure, percentile
from scripts.benchmarks.server import NotRun, python, run_path
from scripts.benchmarks.table import table, write
from scripts.benchmarks.texts import passages

HEAD = b"HTTP/1.1 200 OK\r\n"
PLAIN = HEAD + b"content-length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;name=value\r\nlo\r\n0\r\n\r\n"
SSE = HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([7.0], 99, 7.0), ([4.0, 1.0, 3.0, 2.0], 50, 2.0), (list(range(1, 101)), 99, 99), (list(range(1, 102)), 99, 100)],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_ratio_is_taken_round_by_round() -> None:
    slow_last_round = Row("b", "r", "1/s", Sample((9.0, 9.0, 1.0)), "other", Sample((10.0, 10.0, 2.0)))
    assert slow_last_round.ratio == Sample((0.9, 0.9, 0.5))
    assert slow_last_round.ratio.median == 0.9


@pytest.mark.parametrize(
    ("aim", "is_met"),
    [
        (None, None),
        (Aim("value", "≥", 10), True),
        (Aim("value", ">", 10), False),
        (Aim("value", "≤", 10), True),
        (Aim("value", "≤", 9.9), False),
        (Aim("ratio", "≥", 2.0), True),
        (Aim("ratio", ">", 2.0), False),
        (Aim("ratio", "≥", 2.1), False),
    ],
)
def test_an_aim_is_judged_on_the_median(aim: Aim | None, is_met: bool | None) -> None:
    row = Row("b", "r", "1/s", Sample((1.0, 10.0, 99.0)), "other", Sample((0.5, 5.0, 1.0)), aim)
    assert row.is_met is is_met


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0"), (0.85341, "0.853"), (1.5, "1.50"), (2229.4, "2,229"), (0.000258, "0.000258")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_table_and_the_json_have_every_figure(tmp_path: Path) -> None:
    missed = Row(
        "chat", "1 stream", "tokens/s", Sample((5.0, 6.0)), "direct", Sample((10.0, 10.0)), Aim("ratio", "≥", 0.9)
    )
    apart = Row("cold start", "a model", "s", Sample((1.25,)), parts={"weights": Sample((0.75,))})
    out = Console(file=io.StringIO(), width=200)
    out.print(table([missed, apart]))
    assert isinstance(out.file, io.StringIO)
    for text in (
        "5.50 tokens/s",
        "5.00–6.00",
        "direct",
        "0.550",
        "≥ 0.900 ×",
        "not met",
        "1.25 s",
        "weights",
        "0.750 s",
    ):
        assert text in out.file.getvalue()
    write(tmp_path / "results" / "run.json", [missed, apart], {"speech": "no weights"}, {"commit": "abc"})
    document = json.loads((tmp_path / "results" / "run.json").read_text())
    assert document["commit"] == "abc"
    assert document["failures"] == {"speech": "no weights"}
    assert document["rows"][0]["ratio"] == {"median": 0.55, "lowest": 0.5, "highest": 0.6, "rounds": [0.5, 0.6]}
    assert document["rows"][0]["met"] is False
    assert document["rows"][1]["parts"]["weights"]["median"] == 0.75


@pytest.mark.parametrize(("is_disturbed", "shown"), [(False, "met"), (True, "disturbed")])
def test_a_disturbed_row_claims_nothing(is_disturbed: bool, shown: str) -> None:
    row = Row("chat", "r", "1/s", Sample((9.0,)), aim=Aim("value", "≥", 1), is_disturbed=is_disturbed)
    out = io.StringIO()
    Console(file=out, width=200).print(table([row]))
    assert (shown in out.getvalue(), "met" in out.getvalue()) == (True, not is_disturbed)


async def test_sides_take_turns(tmp_path: Path) -> None:
    turns: list[str] = []

    def side(name: str) -> Callable[[int], object]:
        async def run(number: int) -> Figures:
            turns.append(f"{name}{number}")
            return {"rate": float(len(turns))}

        return run

    bench = Bench(rounds=2, quick=False, folder=tmp_path, say=lambda _: None)
    figures = await bench.alternate({"a": side("a"), "b": side("b")})
    assert turns == ["a0", "b0", "a1", "b1"]
    assert figures["b"]["rate"] == Sample((2.0, 4.0))


async def test_a_part_that_fails_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    async def measured() -> list[Row]:
        return [Row("b", "r", "s", Sample((1.0,)))]

    async def failed() -> list[Row]:
        raise NotRun("the answers ended early")

    bench = Bench(rounds=1, quick=True, folder=tmp_path, say=lambda _: None)
    for part, measuring in (("first", measured()), ("second", failed()), ("third", measured())):
        await bench.attempt(part, measuring)
    assert bench.rows == [*await measured(), *await measured()]
    assert bench.failures == {"second": "the answers ended early"}


def test_texts_are_the_same_every_time_and_as_long_as_asked() -> None:
    texts = passages(300, seed=5)
    assert texts == passages(300, seed=5)
    assert texts != passages(300, seed=6)
    lengths = [len(text.split()) for text in texts]
    assert (min(lengths), max(lengths)) == (5, 120)


@asynccontextmanager
async def _server(*answers: bytes, piece: int | None = None) -> AsyncIterator[Address]:
    """Gives the answers in turn on one connection, in pieces of that many bytes, then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            for start in range(0, len(answer), piece or len(answer)):
                writer.write(answer[start : start + (piece or len(answer))])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield Address(host, port)


@pytest.mark.parametrize("piece", [None, 1, 7])
async def test_answers_are_read_whatever_their_framing(piece: int | None) -> None:
    async with _server(PLAIN, CHUNKED, PLAIN, piece=piece) as address:
        connection = await Connection.open(address)
        replies = [await connection.exchange(get(address, "/")) for _ in range(3)]
        connection.close()
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"hello")] * 3
    assert all(0 <= reply.chunks[0][0] <= reply.seconds for reply in replies)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"data: a\n\ndata: b\n\n"], [b"a", b"b"]),
        ([b"da", b"ta: a\n", b"\nda", b"ta:b\n\n"], [b"a", b"b"]),
        ([b"data: a\r", b"\n\r\ndata: b\r\n\r\n"], [b"a", b"b"]),
        ([b": a comment\n\nevent: x\ndata: 1\ndata: 2\n\n"], [b"1\n2"]),
        ([b"data: whole\n\ndata: cut off"], [b"whole"]),
    ],
)
def test_events_are_found_across_chunks(chunks: list[bytes], expected: list[bytes]) -> None:
    reply = Reply(200, 9.0, [(float(index), chunk) for index, chunk in enumerate(chunks)])
    assert [data for _, data in reply.events()] == expected


async def test_an_event_has_the_time_of_its_last_byte() -> None:
    reply = Reply(200, 9.0, [(1.0, b"data: a\n"), (2.0, b"\ndata: b\n\n")])
    assert list(reply.events()) == [(2.0, b"a"), (2.0, b"b")]


@pytest.mark.parametrize("answer", [PLAIN[:-1], CHUNKED[:-5], b"no HTTP at all\r\n\r\n"])
async def test_an_answer_that_is_cut_off_or_garbled_is_an_error(answer: bytes) -> None:
    async with _server(answer) as address:
        with pytest.raises(ConnectionError):
            await drive(address, [get(address, "/")])


async def test_an_answer_other_than_200_ends_the_run_with_its_text() -> None:
    async with _server(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nfull") as address:
        with pytest.raises(Refused, match="HTTP 429: full"):
            await drive(address, [get(address, "/")])


async def test_answers_come_in_the_order_of_the_requests_over_many_connections(tmp_path: Path) -> None:
    bodies = [json.dumps({"text": text}).encode() for text in passages(200)]
    async with python(ECHO, tmp_path / "echo.log") as address:
        load = await drive(address, [post(address, run_path("m"), body) for body in bodies], connections=16)
    assert [reply.body for reply in load.replies] == bodies
    assert max(reply.seconds for reply in load.replies) <= load.seconds


async def test_a_peer_that_ends_says_why(tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match="No module named"):
        async with peer("scripts.benchmarks.references.missing", tmp_path / "peer.log"):
            pass


async def test_the_gpu_benchmark_measures_both_ways_and_sides_also_where_there_is_none(tmp_path: Path) -> None:
    bench = Bench(1, quick=True, folder=tmp_path, say=lambda _: None)
    rows = await gpu_chat.measure(bench, "tiny", "cpu", (2,))
    assert [row.name.split(", ")[-1] for row in rows] == ["merged", "merged", "paged", "paged"]
    figures = [side.median for row in rows for side in (row.value, row.reference) if side is not None]
    assert len(figures) == 8
    assert min(figures) > 0
