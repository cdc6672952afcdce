"""One compiled graph for a fixed number of single tokens, its inputs in memory that stays in place; plans no pass."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray

from gateway.engines.llm.low_rank import CHOSEN, choices
from gateway.engines.llm.page_parts import Run

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
LONGEST, PAGES = "max_context_len", "block_indices"


class FixedPass:
    """Computes passes of `rows` runs, each of one token and with logits.

    The graph reads its inputs where they are written and writes the logits where they are read: handing it new ones
    takes a quarter of a millisecond, of some nine for a small model's pass.
    """

    def __init__(
        self, compiled: Any, pools: Mapping[str, Any], adapters: Sequence[str], rows: int, page_tokens: int
    ) -> None:
        self._request, self._adapters, self._page_tokens = compiled.create_infer_request(), adapters, page_tokens
        for name, pool in pools.items():
            self._request.set_tensor(name, pool)
        self._inputs: dict[str, NDArray[Any]] = {}
        for port in compiled.inputs:
            if port.any_name in MORE or port.any_name == LONGEST:
                self._keep(port.any_name, np.zeros(tuple(port.shape), port.element_type.to_dtype()))
        for name, count in (("subsequence_begins", rows + 1), ("sampled_tokens_indices", rows)):
            if name in self._inputs:
                self._inputs[name][:] = np.arange(count)
        logits = np.empty(tuple(compiled.outputs[0].shape), np.float32)
        self._request.set_output_tensor(0, openvino.Tensor(logits, shared_memory=True))
        self._logits = torch.from_numpy(logits.reshape(rows, -1))

    def forward(self, runs: Sequence[Run]) -> torch.Tensor:
        """The logits [rows, vocabulary] behind each run's token; the next call overwrites them."""
        past = [run.past for run in runs]
        used = [number // self._page_tokens + 1 for number in past]
        pages = array("i")
        for run, count in zip(runs, used, strict=True):
            pages += run.held.numbers[:count]
        self._fill("input_ids", [run.tokens[0] for run in runs])
        self._fill("position_ids", past)
        self._fill("past_lens", past)
        self._fill("block_indices_begins", [0, *itertools.accumulate(used)])
        self._fill(LONGEST, max(past) + 1)
        if self._adapters:
            self._fill(CHOSEN, choices(self._adapters, [(run.adapter, 1) for run in runs]))
        if PAGES not in self._inputs or len(self._inputs[PAGES]) != len(pages):
            self._keep(PAGES, np.zeros(len(pages), np.int32))
        self._fill(PAGES, pages)
        self._request.start_async()
        self._request.wait()
        return self._logits

    def _keep(self, name: str, numbers: NDArray[Any]) -> None:
        self._inputs[name] = numbers
        self._request.set_tensor(name, openvino.Tensor(numbers, shared_memory=True))

    def _fill(self, name: str, numbers: Any) -> None:
        if name in self._inputs:
            self._inputs[name][...] = numbers
