"""Whatever is said, and however it is cut into messages, each word is reported once, in order, in its own turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.live.listener import Listener
from gateway.api.live.sound import MAX_KEPT_S, Sound
from gateway.api.live.turn import Turn
from gateway.tasks.speech_listening import Hearing
from gateway.tasks.speech_words import Spoken
from gateway.tasks.transcript import Span

RATE_HZ = 100
END_SILENCE_S = 0.7


@dataclass
class Notes:
    """The turns that were reported, as lists of words."""

    turns: list[list[str]] = field(default_factory=list)
    settled_words: list[str] = field(default_factory=list)
    is_open: bool = False

    async def idle(self, until_s: float) -> None:
        assert not self.is_open

    async def started(self, turn: Turn) -> None:
        assert not self.is_open
        assert turn.words
        self.is_open = True

    async def updated(self, turn: Turn) -> None:
        assert self.is_open

    async def settled(self, turn: Turn, words: list[Spoken]) -> None:
        self.settled_words += [word.text for word in words]

    async def ended(self, turn: Turn, *, flushed: bool) -> None:
        assert self.is_open
        self.is_open = False
        words = [*turn.settled, *turn.words]
        assert all(before.end <= after.start + 1e-6 for before, after in pairwise(words))
        self.turns.append([word.text for word in words])


async def hear(window: bytes, known_s: float) -> Hearing:
    """A recogniser of numbers: each run of one value is a word, zeros are silence."""
    assert len(window) <= (MAX_KEPT_S + 1) * RATE_HZ * 2
    words, voice, start = [], [], 0
    for value, run in groupby(np.frombuffer(window, "<i2").tolist()):
        end = start + len(list(run))
        if value:
            words.append(Spoken(text=str(value), start=start / RATE_HZ, end=end / RATE_HZ, confidence=1))
            if voice and voice[-1].end == start / RATE_HZ:
                voice[-1].end = end / RATE_HZ
            else:
                voice.append(Span(start=start / RATE_HZ, end=end / RATE_HZ))
        start = end
    news = bool(voice) and voice[-1].end > known_s
    return Hearing(language="en", duration=start / RATE_HZ, voice=voice, words=words if news else None)


async def listen(samples: np.ndarray, cuts: list[int]) -> Notes:
    sound, notes = Sound(RATE_HZ, 2), Notes()
    listening = asyncio.create_task(Listener(sound, hear, notes, END_SILENCE_S).run())
    for part in np.split(samples, sorted(cut % (len(samples) + 1) for cut in cuts)):
        await sound.add(part.astype("<i2").tobytes())
        await asyncio.sleep(0)
    await sound.finish()
    await listening
    return notes


# Stretches of speech of up to a minute, and the silence after each, in tenths of a second.
TALK = st.lists(
    st.tuples(st.integers(1, 150), st.one_of(st.integers(0, 5), st.integers(9, 40))), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(talk=TALK, cuts=st.lists(st.integers(0, 10_000), max_size=30))
def test_every_word_is_reported_once_and_in_its_turn(talk: list[tuple[int, int]], cuts: list[int]) -> None:
    parts, turns, word = [], [[]], 0
    for count, silence in talk:
        for _ in range(count):
            word += 1
            turns[-1].append(str(word))
            parts.append(np.full(RATE_HZ * 3 // 10, word))
        parts.append(np.zeros(RATE_HZ * silence // 10, int))
        if silence > 5:
            turns.append([])
    notes = asyncio.run(listen(np.concatenate(parts), cuts))
    assert notes.turns == [turn for turn in turns if turn]
    assert not notes.is_open
