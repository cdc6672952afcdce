"""Runs a function in steps: in a thread of its own, yet only while somebody waits for its next step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Abandoned(BaseException):
    """Raised inside the function when nobody wants its result any more."""


class Walk(Generic[T]):
    """`work(pause)`, of which each call of `advance` runs the stretch up to the next `pause()` or the end.

    The function never runs beside its caller, so they may share whatever they like. It must let `Abandoned` pass.
    """

    def __init__(self, work: Callable[[Callable[[], None]], T]) -> None:
        self._work = work
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._is_abandoned = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="walk", daemon=True)
        self._thread.start()

    def advance(self) -> T | None:
        """Run one stretch; the function's result if it was the last one, else None. Raises what the function does."""
        self._go.release()
        self._halted.acquire()
        if self._error is not None:
            raise self._error
        return self._result

    def abandon(self) -> None:
        """End the function where it stands and wait until it has ended."""
        self._is_abandoned = True
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._await_turn()
            self._result = self._work(self._pause)
        except Abandoned:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._halted.release()

    def _pause(self) -> None:
        self._halted.release()
        self._await_turn()

    def _await_turn(self) -> None:
        self._go.acquire()
        if self._is_abandoned:
            raise Abandoned
