"""One compiled graph for a fixed number of single tokens; plans no pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino
import torch

from gateway.engines.llm.page_parts import Run
from gateway.engines.llm.pass_inputs import PassInputs


class FixedPass:
    """Computes passes of so many runs, each of one token and with logits, which are written where they are read."""

    def __init__(self, compiled: Any, pools: Mapping[str, Any], adapters: Sequence[str], page_tokens: int) -> None:
        self._request = compiled.create_infer_request()
        for name, pool in pools.items():
            self._request.set_tensor(name, pool)
        self._inputs = PassInputs(compiled, self._request, adapters, page_tokens)
        port = compiled.outputs[0]
        logits = np.empty(tuple(port.shape), port.element_type.to_dtype())
        self._request.set_output_tensor(0, openvino.Tensor(logits, shared_memory=True))
        self._logits = torch.from_numpy(logits.reshape(-1, logits.shape[-1]))

    def forward(self, runs: Sequence[Run]) -> torch.Tensor:
        """The logits [runs, vocabulary] behind each one's token; the next call overwrites them."""
        self._inputs.give(runs)
        self._request.start_async()
        self._request.wait()
        return self._logits
