"""What a graph over pages is given for a pass, in memory that stays in place; plans no pass and computes none."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from gateway.engines.llm.low_rank import CHOSEN, choices
from gateway.engines.llm.page_parts import Run

WANTED = "sampled_tokens_indices"
# How many numbers each input has besides one for each row of a pass of single tokens; others have a size of their own.
MORE = {
    "input_ids": 0,
    "position_ids": 0,
    "past_lens": 0,
    "subsequence_begins": 1,
    "block_indices_begins": 1,
    WANTED: 0,
    CHOSEN: 0,
}
INPUTS = {*MORE, "block_indices", "max_context_len"}


class PassInputs:
    """The inputs of one `request` for the graph `compiled`, those of OpenVINO's `PagedAttentionExtension`.

    Numbers are written where the last ones of their shape were: handing the graph new tensors instead takes a quarter
    of a millisecond, of some nine for a small model's pass.
    """

    def __init__(self, compiled: Any, request: Any, adapters: Sequence[str], page_tokens: int) -> None:
        self._request, self._adapters, self._page_tokens = request, adapters, page_tokens
        self._types = {
            port.any_name: port.element_type.to_dtype() for port in compiled.inputs if port.any_name in INPUTS
        }
        self._kept: dict[str, NDArray[Any]] = {}

    def give(self, runs: Sequence[Run]) -> None:
        """Have the next pass be of these runs."""
        for name, numbers in self._numbers(runs):
            if name in self._types:
                self._write(name, np.asarray(numbers, self._types[name]))

    def _write(self, name: str, numbers: NDArray[Any]) -> None:
        kept = self._kept.get(name)
        if kept is not None and kept.shape == numbers.shape:
            kept[...] = numbers
        else:
            self._kept[name] = numbers = np.array(numbers)
            self._request.set_tensor(name, openvino.Tensor(numbers, shared_memory=True))

    def _numbers(self, runs: Sequence[Run]) -> Iterator[tuple[str, Any]]:
        """Tokens end to end, and for each run what was read before and in which pages."""
        past = [run.past for run in runs]
        counts = [len(run.tokens) for run in runs]
        ends = list(itertools.accumulate(counts))
        used = [-(-(before + count) // self._page_tokens) for before, count in zip(past, counts, strict=True)]
        pages = array("i")
        for run, count in zip(runs, used, strict=True):
            pages += run.held.numbers[:count]
        yield "input_ids", list(itertools.chain.from_iterable(run.tokens for run in runs))
        yield "position_ids", past if ends[-1] == len(runs) else _positions(past, counts)
        yield "past_lens", past
        yield "subsequence_begins", [0, *ends]
        yield "block_indices", pages
        yield "block_indices_begins", [0, *itertools.accumulate(used)]
        yield "max_context_len", max(before + count for before, count in zip(past, counts, strict=True))
        yield WANTED, [end - 1 for run, end in zip(runs, ends, strict=True) if run.ends]
        if self._adapters:
            yield (
                CHOSEN,
                choices(self._adapters, [(run.adapter, count) for run, count in zip(runs, counts, strict=True)]),
            )


def _positions(past: Sequence[int], counts: Sequence[int]) -> NDArray[np.int64]:
    runs = zip(past, counts, strict=True)
    return np.concatenate([np.arange(before, before + count) for before, count in runs])
