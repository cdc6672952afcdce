"""One caller of a soak: short sessions with one model after another, mishaps included; knows no memory and no table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import orjson

from scripts.benchmarks.client import Address, Connection, Reply, post
from scripts.benchmarks.soak.book import Book
from scripts.benchmarks.soak.kinds import Kind, Question
from scripts.benchmarks.soak.malformed import Malformed

# Of all requests, how many are malformed, and from how many the caller walks away.
MALFORMED_SHARE, LEAVING_SHARE = 0.08, 0.05
LONGEST_SESSION, LONGEST_PAUSE_S, MEAN_STAY_S = 6, 0.5, 0.3
# Longer than the gateway lets any of the requests take.
PATIENCE_S = 180.0


class Caller:
    """Writes what became of each of its requests into the book; the same `chance` asks the same."""

    def __init__(
        self, address: Address, kinds: Mapping[str, Kind], malformed: Sequence[Malformed], book: Book, chance: Random
    ) -> None:
        self._address = address
        self._kinds = kinds
        self._malformed = malformed
        self._book = book
        self._chance = chance
        self._connection: Connection | None = None

    async def call(self, until: float) -> None:
        """Go on until that moment of `time.monotonic`, and then wait for the last answer."""
        chance = self._chance
        try:
            for name in self._names():
                if time.monotonic() >= until:
                    return
                for _ in range(chance.randint(1, LONGEST_SESSION)):
                    if time.monotonic() < until:
                        await self._one(name, self._kinds[name](chance))
                await asyncio.sleep(chance.uniform(0, LONGEST_PAUSE_S))
        finally:
            self._hang_up()

    def _names(self) -> Iterator[str]:
        """All kinds in an order of this caller's own, then in another, without end."""
        while True:
            yield from self._chance.sample(list(self._kinds), len(self._kinds))

    async def _one(self, name: str, question: Question) -> None:
        roll = self._chance.random()
        try:
            if roll < MALFORMED_SHARE:
                await self._offend(self._chance.choice(self._malformed))
            elif roll < MALFORMED_SHARE + LEAVING_SHARE:
                await self._leave(name, question)
            else:
                await self._ask(name, question)
        except (OSError, TimeoutError) as error:
            self._hang_up()
            self._book.blame(name, "no answer", f"{type(error).__name__}: {error}")

    async def _ask(self, name: str, question: Question) -> None:
        self._note(name, question, await self._exchange(self._bytes(question)))

    async def _offend(self, offence: Malformed) -> None:
        """Send a malformed request, on a connection of its own: the gateway may close it."""
        self._hang_up()
        reply = await self._exchange(offence.request)
        self._hang_up()
        if (reply.status, _code(reply)) == (offence.status, offence.code):
            self._book.rejected += 1
        else:
            self._book.misjudge(offence.name, f"{reply.status}/{_code(reply)}", reply.body.decode(errors="replace"))

    async def _leave(self, name: str, question: Question) -> None:
        """Send a request, or a part of one, and be gone before the answer is whole, unless it comes soon."""
        data = self._bytes(question)
        sent = data if self._chance.random() < 0.5 else data[: self._chance.randrange(1, len(data))]
        try:
            async with asyncio.timeout(self._chance.expovariate(1 / MEAN_STAY_S)):
                self._note(name, question, await self._exchange(sent))
        except TimeoutError:
            self._hang_up()
            self._book.tallies[name].left += 1

    async def _exchange(self, request: bytes) -> Reply:
        if self._connection is None or not self._connection.is_open:
            self._connection = await Connection.open(self._address)
        async with asyncio.timeout(PATIENCE_S):
            return await self._connection.exchange(request)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _bytes(self, question: Question) -> bytes:
        return post(self._address, question.path, question.body, question.content_type)

    def _note(self, name: str, question: Question, reply: Reply) -> None:
        if reply.status == 200 and _is_answer(question, reply):
            tally = self._book.tallies[name]
            tally.seconds.append(reply.seconds)
            if question.streams:
                tally.first_s.append(reply.chunks[0][0])
        else:
            code = _code(reply)
            said = f"{reply.status}/{code}" if code or reply.status != 200 else "200, another answer"
            self._book.blame(name, said, reply.body.decode(errors="replace"))


def _is_answer(question: Question, reply: Reply) -> bool:
    try:
        return question.is_answered_by(reply)
    except (ValueError, KeyError, TypeError, IndexError):
        return False


def _code(reply: Reply) -> int:
    """The code of a failure, also of one that a stream ended with; 0 if there is none."""
    events = [data for _, data in reply.events()]
    try:
        return int(orjson.loads(events[-1] if events else reply.body)["errors"][0]["code"])
    except (ValueError, KeyError, TypeError, IndexError):
        return 0
