"""Graphs of fixed shape for the passes of few streams: a token of each, and guesses; knows no page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gateway.engines.llm.fixed_pass import FixedPass
from gateway.engines.llm.page_parts import Run
from gateway.engines.llm.pass_inputs import MORE

# The rows of a pass that such graphs are made for, as far as there is memory for them. A single row is multiplied in
# another way than several.
WIDTHS = (2, 4, 6)
# Bytes in memory for each byte of the weights: they are packed once more (measured: 200 MB of 140).
PACKED = 1.5
logger = logging.getLogger(__name__)


class FixedGraphs:
    """Where shapes are fixed, nothing is inferred of them at each node: a pass of a small model takes a twelfth less.

    The numbers are the same, bit for bit. Compiling one takes a second or two of processor time and packs the weights
    once more, so it is only begun when asked for, one at a time, and runs beside.
    """

    def __init__(self, model: Any, weights_bytes: int, most_bytes: int) -> None:
        """For as many widths of `model` as `most_bytes` of memory hold."""
        self._each_bytes = max(1, int(PACKED * weights_bytes))
        self._missing = list(WIDTHS[: most_bytes // self._each_bytes])
        # What nothing is made of any more is not held: it has all weights.
        self._model: Any = model if self._missing else None
        self._passes: dict[int, FixedPass] = {}
        self.compiling: threading.Thread | None = None

    @property
    def growth_bytes(self) -> int:
        """What those take that are not there yet."""
        return len(self._missing) * self._each_bytes

    @property
    def widths(self) -> Sequence[int]:
        """The rows of passes that are computed this way by now."""
        return tuple(self._passes)

    def begin(self, make: Callable[[Any], FixedPass]) -> None:
        """Have the next one made of a model of its shape, in a thread; if one is missing."""
        if self._missing and (self.compiling is None or not self.compiling.is_alive()):
            # Not a daemon: a process that ends while the library compiles would end with an abort.
            arguments = self._missing.pop(0), make
            self.compiling = threading.Thread(target=self._run, args=arguments, name="fixed-graph")
            self.compiling.start()

    def pass_for(self, runs: Sequence[Run]) -> FixedPass | None:
        """What computes these runs, if they are single tokens with logits and there is a graph for so many by now."""
        found = self._passes.get(len(runs))
        if found is None or not all(len(run.tokens) == 1 and run.ends for run in runs):
            return None
        return found

    def _run(self, width: int, make: Callable[[Any], FixedPass]) -> None:
        try:
            model = self._model.clone()
            model.reshape({port: _shape(port, width) for port in model.inputs})
            made = make(model)
        except RuntimeError as error:
            logger.warning("passes of %d rows go on as before: %s", width, error)
        else:
            self._passes[width] = made
        if not self._missing:
            self._model = None


def _shape(port: Any, width: int) -> Any:
    more = MORE.get(port.any_name)
    return port.partial_shape if more is None else [width + more, *list(port.partial_shape)[1:]]
