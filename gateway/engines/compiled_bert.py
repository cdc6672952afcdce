"""Runs an encoder of BERT's family on a CPU with OpenVINO; knows neither pooling nor heads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import openvino
import torch

from gateway.engines.bert import Bert
from gateway.engines.bert_graph import bert_graph
from gateway.engines.passes import TokenIds, filling

HINTS = {"float32": "f32", "bfloat16": "bf16"}
Integers = npt.NDArray[np.int32]


class CompiledBert:
    """`HiddenStates` of an encoder, on as many threads as torch has. `dtype` is one of `HINTS`."""

    pads = False

    def __init__(self, bert: Bert, dtype: str) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Each worker would take the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._request = openvino.Core().compile_model(bert_graph(bert, dtype), "CPU", settings).create_infer_request()
        self._first = bert.first_position
        self._has_types = bert.types is not None

    def __call__(self, rows: Sequence[TokenIds], types: Sequence[Sequence[int]] | None = None) -> torch.Tensor:
        """As `HiddenStates` says."""
        lengths = np.array([len(row) for row in rows])
        count, longest = int(lengths.sum()), np.arange(lengths.max())
        starts = (np.cumsum(lengths) - lengths)[:, None]
        is_token = longest < lengths[:, None]
        per_token = {
            "ids": _end_to_end(rows),
            "positions": np.broadcast_to(longest + self._first, is_token.shape)[is_token],
            "back": np.flatnonzero(is_token),
        }
        if self._has_types:
            per_token["types"] = np.zeros(count) if types is None else _end_to_end(types)
        # Tokens of no text: dense layers see them, attention and the result do not.
        inputs = {name: np.pad(values, (0, filling(count))).astype(np.int32) for name, values in per_token.items()}
        inputs["where"] = np.where(is_token, starts + longest, 0).astype(np.int32)
        mask = np.where(is_token, 0, -np.inf).astype(np.float32)[:, None, None]
        states = self._request.infer({**inputs, "mask": mask}, share_inputs=True, share_outputs=False)[0]
        return torch.from_numpy(states[:count])


def _end_to_end(rows: Sequence[TokenIds]) -> Integers:
    return np.fromiter(itertools.chain.from_iterable(rows), np.int32)
