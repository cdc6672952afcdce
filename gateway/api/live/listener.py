"""Follows what is said: finds turns in sound by asking a model again and again; knows no wire protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise

from gateway.api.live.sound import Sound
from gateway.api.live.turn import Reporter, Turn
from gateway.tasks.speech_listening import Hearing

STEP_S = 0.25
LEAD_S = 0.5
MAX_WINDOW_S = 20.0
MAX_TURN_S = 300.0
_TOLERANCE_S = 0.05  # two steps of the voice detector are 0.064 s: a shorter difference is no new speech

Ask = Callable[[bytes, float], Awaitable[Hearing]]


class Listener:
    """Hears a session's sound and reports turns, until the sound is finished.

    One question is asked at a time, about all that is kept of the current turn; sound that comes meanwhile goes into
    the next. So a session costs at most one place in the model's queue, however fast its sound comes.
    """

    def __init__(self, sound: Sound, ask: Ask, reporter: Reporter, end_silence_s: float | None) -> None:
        """A turn ends after `end_silence_s` without speech; with None, only when told to."""
        self._sound = sound
        self._ask = ask
        self._reporter = reporter
        self._end_silence_s = end_silence_s
        self._turn: Turn | None = None
        self._known_s = 0.0

    async def run(self) -> None:
        """Listen to the end. Raises what asking raises."""
        is_over = False
        while not is_over:
            flushed = await self._sound.news(STEP_S)
            is_over = self._sound.is_finished
            await self._listen(last=flushed or is_over)

    async def _listen(self, *, last: bool) -> None:
        """Hear the window; if it holds whole turns, end them one by one."""
        while True:
            window = await self._sound.window()
            hearing = await self._hear(window)
            pause_s = self._pause_after(hearing)
            if pause_s is None:
                break
            cut_s = pause_s + (self._end_silence_s or 0.0)
            await self._follow(await self._hear(self._sound.part(cut_s), anew=True))
            await self._end(cut_s, flushed=False)
        await self._follow(hearing)
        if self._turn is not None and self._is_over(self._turn):
            await self._end(self._sound.end_s, flushed=False)
        elif last:
            await self._end(self._sound.end_s, flushed=True)

    async def _hear(self, window: bytes, *, anew: bool = False) -> Hearing:
        """What is in `window`, in the session's time."""
        start_s = self._sound.start_s
        known_s = 0.0 if anew else max(0.0, self._known_s - start_s)
        hearing = await self._ask(window, known_s)
        for moment in (*hearing.voice, *(hearing.words or ())):
            moment.start += start_s
            moment.end += start_s
        return hearing

    def _pause_after(self, hearing: Hearing) -> float | None:
        """The end of the first speech that a long pause and more speech follow."""
        if self._end_silence_s is None:
            return None
        pairs = pairwise(hearing.voice)
        return next((before.end for before, after in pairs if after.start - before.end >= self._end_silence_s), None)

    async def _follow(self, hearing: Hearing) -> None:
        """Begin or go on with a turn."""
        end_s = self._sound.start_s + hearing.duration
        if self._turn is None and not hearing.words:
            await self._forget_silence(hearing, end_s)
            await self._reporter.idle(end_s)
            return
        is_new = self._turn is None
        turn = self._turn = self._turn or Turn(start_s=hearing.voice[0].start, end_s=end_s)
        turn.has_grown = hearing.words is not None
        turn.end_s = end_s
        voice_end_s = hearing.voice[-1].end if hearing.voice else turn.end_s - turn.silence_s
        turn.silence_s = max(0.0, end_s - voice_end_s)
        if hearing.words is not None:
            turn.words = hearing.words
            is_open = turn.silence_s <= _TOLERANCE_S
            self._known_s = voice_end_s + (-2 * _TOLERANCE_S if is_open else _TOLERANCE_S)
        if is_new:
            await self._reporter.started(turn)
        elif not self._is_over(turn):
            await self._reporter.updated(turn)
        if end_s - self._sound.start_s > MAX_WINDOW_S:
            await self._settle(turn)

    async def _forget_silence(self, hearing: Hearing, end_s: float) -> None:
        """Keep a little before what may be the beginning of a word; noise that gives no words is not kept for ever."""
        begin_s = hearing.voice[-1].start if hearing.voice else end_s
        await self._sound.drop(max(min(begin_s, end_s) - LEAD_S, end_s - MAX_WINDOW_S / 2))

    async def _settle(self, turn: Turn) -> None:
        """Keep the words of the window's first half, and drop its sound at the longest pause between words."""
        middle_s = (self._sound.start_s + turn.end_s) / 2
        gaps = [
            (after.start - before.end, index, (before.end + after.start) / 2)
            for index, (before, after) in enumerate(pairwise(turn.words), 1)
            if middle_s <= before.end and after.start <= turn.end_s - 2
        ]
        _, count, cut_s = max(gaps, default=(0.0, len(turn.words), turn.end_s))
        words, turn.words = turn.words[:count], turn.words[count:]
        turn.settled += words
        await self._sound.drop(cut_s)
        await self._reporter.settled(turn, words)

    def _is_over(self, turn: Turn) -> bool:
        too_long = turn.end_s - turn.start_s > MAX_TURN_S
        return too_long or (self._end_silence_s is not None and turn.silence_s >= self._end_silence_s)

    async def _end(self, cut_s: float, *, flushed: bool) -> None:
        """The turn is over; its sound is not needed any more."""
        turn, self._turn = self._turn, None
        await self._sound.drop(cut_s if flushed else cut_s - _TOLERANCE_S)  # a word may just be beginning
        self._known_s = 0.0
        if turn is not None:
            await self._reporter.ended(turn, flushed=flushed)
