"""A graph of fixed shape for the passes of a stream alone: a token and a guess; knows no page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.engines.llm.low_rank import CHOSEN
from gateway.engines.llm.page_parts import Run

# The first side of each input's shape.
LENGTHS = {
    "input_ids": 2,
    "position_ids": 2,
    "past_lens": 2,
    "subsequence_begins": 3,
    "block_indices_begins": 3,
    "sampled_tokens_indices": 2,
    CHOSEN: 2,
}
logger = logging.getLogger(__name__)


class Pairs:
    """Where shapes are fixed, nothing is inferred of them at each node: a pass of a small model takes an eighth less.

    The numbers are the same, bit for bit. Compiling takes a second or two of processor time and packs the weights once
    more, so it is only begun when asked for, and runs beside.
    """

    def __init__(self, model: Any) -> None:
        self._model: Any = model
        self._request: Any = None
        self.compiling: threading.Thread | None = None

    def begin(self, compile: Callable[[Any], Any], pools: Mapping[str, Any]) -> None:
        """Compile the model with `compile`, in a thread, for the keys and values in `pools`; not a second time."""
        if self.compiling is None:
            # Not a daemon: a process that ends while the library compiles would end with an abort.
            self.compiling = threading.Thread(target=self._run, args=(compile, pools), name="pairs")
            self.compiling.start()

    def request_for(self, runs: Sequence[Run]) -> Any:
        """What computes these runs, if they are a pair and it is there by now."""
        if self._request is None or len(runs) != 2 or not all(len(run.tokens) == 1 and run.ends for run in runs):
            return None
        return self._request

    def _run(self, compile: Callable[[Any], Any], pools: Mapping[str, Any]) -> None:
        model, self._model = self._model, None
        try:
            model.reshape({port: _shape(port) for port in model.inputs})
            request = compile(model).create_infer_request()
            for name, pool in pools.items():
                request.set_tensor(name, pool)
        except RuntimeError as error:
            logger.warning("a stream alone goes on as before: %s", error)
        else:
            self._request = request


def _shape(port: Any) -> Any:
    length = LENGTHS.get(port.any_name)
    return port.partial_shape if length is None else [length, *list(port.partial_shape)[1:]]
