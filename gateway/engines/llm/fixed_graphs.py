"""Graphs of fixed shape for the passes of few streams: a token of each, and guesses; knows no page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.engines.llm.low_rank import CHOSEN
from gateway.engines.llm.page_parts import Run

# The rows of a pass that such graphs are made for, as far as there is memory for them. A single row is multiplied in
# another way than several.
WIDTHS = (2, 4, 6)
# Bytes in memory for each byte of the weights: they are packed once more (measured: 200 MB of 140).
PACKED = 1.5
# How many numbers each input has besides one for each row.
MORE = {
    "input_ids": 0,
    "position_ids": 0,
    "past_lens": 0,
    "subsequence_begins": 1,
    "block_indices_begins": 1,
    "sampled_tokens_indices": 0,
    CHOSEN: 0,
}
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
        self._requests: dict[int, Any] = {}
        self.compiling: threading.Thread | None = None

    @property
    def growth_bytes(self) -> int:
        """What those take that are not there yet."""
        return len(self._missing) * self._each_bytes

    @property
    def widths(self) -> Sequence[int]:
        """The rows of passes that are computed this way by now."""
        return tuple(self._requests)

    def begin(self, compile: Callable[[Any], Any], pools: Mapping[str, Any]) -> None:
        """Compile the next one with `compile`, in a thread, for the keys and values in `pools`; if one is missing."""
        if self._missing and (self.compiling is None or not self.compiling.is_alive()):
            # Not a daemon: a process that ends while the library compiles would end with an abort.
            arguments = self._missing.pop(0), compile, pools
            self.compiling = threading.Thread(target=self._run, args=arguments, name="fixed-graph")
            self.compiling.start()

    def request_for(self, runs: Sequence[Run]) -> Any:
        """What computes these runs, if they are single tokens with logits and there is a graph for so many by now."""
        request = self._requests.get(len(runs))
        if request is None or not all(len(run.tokens) == 1 and run.ends for run in runs):
            return None
        return request

    def _run(self, width: int, compile: Callable[[Any], Any], pools: Mapping[str, Any]) -> None:
        try:
            model = self._model.clone()
            model.reshape({port: _shape(port, width) for port in model.inputs})
            request = compile(model).create_infer_request()
            for name, pool in pools.items():
                request.set_tensor(name, pool)
        except RuntimeError as error:
            logger.warning("passes of %d rows go on as before: %s", width, error)
        else:
            self._requests[width] = request
        if not self._missing:
            self._model = None


def _shape(port: Any, width: int) -> Any:
    more = MORE.get(port.any_name)
    return port.partial_shape if more is None else [width + more, *list(port.partial_shape)[1:]]
