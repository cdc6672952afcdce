"""A language model of OpenVINO's compiled for the CPU over pages of keys and values; plans no pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset13
from openvino._offline_transformations import paged_attention_transformation

from gateway.config import MIB
from gateway.engines.llm.adapter_files import LowRank
from gateway.engines.llm.filling import ALONE
from gateway.engines.llm.fixed_graphs import FixedGraphs
from gateway.engines.llm.fixed_pass import FixedPass
from gateway.engines.llm.low_rank import add_adapters
from gateway.engines.llm.page_parts import Run
from gateway.engines.llm.pages import Held
from gateway.engines.llm.pass_inputs import INPUTS, WANTED, PassInputs

POOLS = ("key_cache.", "value_cache.")
# OpenVINO keeps some 1.4 MB for each size of a pass that it has seen, for a small model.
ROWS = 4
NO_ADAPTERS: Mapping[str, Mapping[str, LowRank]] = MappingProxyType({})
# Of weights: of larger ones a pass spends little on anything but its products.
SMALL_BYTES = 256 * MIB
# Between the product with the vocabulary and the logits there may be these.
BEHIND_PRODUCT = {"Convert", "Add", "Multiply", "Divide", "Tanh"}


class PagedGraph:
    """Computes passes of runs of tokens; what it is given are OpenVINO's inputs of `PagedAttentionExtension`.

    `page_tokens` and `page_bytes` are the plugin's own for the settings. `adapters` are changes by LoRA adapters and
    modules; `fixed_bytes` is the memory for graphs of fixed shape, of which they may take `growth_bytes`. Raises
    `RuntimeError` for a model whose attention cannot be paged, or that wants to be given more than tokens, and
    `AdapterMisfit`.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        adapters: Mapping[str, Mapping[str, LowRank]] = NO_ADAPTERS,
        fixed_bytes: int = 0,
    ) -> None:
        core = openvino.Core()
        model = core.read_model(folder / "openvino_model.xml")
        paged_attention_transformation(model)
        self._adapters = list(adapters)
        if adapters:
            add_adapters(model, adapters)
        _ask_for_some(model)
        self._compile = partial(core.compile_model, device_name="CPU", config=dict(settings))
        compiled = self._compile(model)
        self._request = compiled.create_infer_request()
        names = {port.any_name for port in compiled.inputs}
        if unknown := {name for name in names if not name.startswith(POOLS)} - INPUTS:
            raise RuntimeError(f"the model wants to be given {', '.join(sorted(unknown))}")
        self._ports = {port.any_name: port for port in compiled.inputs if port.any_name.startswith(POOLS)}
        values = next((port for name, port in self._ports.items() if name.startswith("value_cache.")), None)
        if values is None:
            raise RuntimeError("the model keeps no keys and values in pages")
        self._pools: dict[str, Any] = {}
        self._unused = Held(b"")
        self.width = compiled.outputs[0].partial_shape[-1].get_length()
        self.page_tokens: int = values.partial_shape[2].get_length()
        self._inputs = PassInputs(compiled, self._request, self._adapters, self.page_tokens)
        self.page_bytes = sum(map(_page_bytes, self._ports.values()))
        size_bytes = (folder / "openvino_model.bin").stat().st_size
        self._fixed = FixedGraphs(model, size_bytes, fixed_bytes if size_bytes <= SMALL_BYTES else 0)

    def hold(self, pages: int) -> None:
        """Have a pool of so many pages, and one to fill passes up. Memory is only taken as it is first written."""
        self._unused.numbers.append(pages)
        for name, port in self._ports.items():
            shape = [pages + 1, *(side.get_length() for side in list(port.partial_shape)[1:])]
            self._pools[name] = openvino.Tensor(port.element_type, openvino.Shape(shape))
            self._request.set_tensor(name, self._pools[name])

    @property
    def growth_bytes(self) -> int:
        """What graphs that are not there yet may take."""
        return self._fixed.growth_bytes

    @property
    def widths(self) -> Sequence[int]:
        """The rows that passes of few single tokens should have: whatever else they have takes longer."""
        return self._fixed.widths or ALONE

    def hasten(self) -> None:
        """Have passes of some more numbers of single tokens computed faster from some time on, if that is possible."""
        self._fixed.begin(self._fixed_pass)

    def forward(self, runs: Sequence[Run]) -> torch.Tensor:
        """The logits [runs that end, vocabulary] behind each one's last token; the next call overwrites them."""
        fixed = self._fixed.pass_for(runs)
        if fixed is not None:
            return fixed.forward(runs)
        self._inputs.give([*runs, *self._filling(runs)])
        self._request.start_async()
        self._request.wait()
        logits: NDArray[np.float32] = self._request.get_output_tensor(0).data
        return torch.from_numpy(logits.reshape(-1, self.width))

    def _fixed_pass(self, model: Any) -> FixedPass:
        return FixedPass(self._compile(model), self._pools, self._adapters, self.page_tokens)

    def _filling(self, runs: Sequence[Run]) -> list[Run]:
        """What brings the rows of a pass with prompts to a multiple of `ROWS`, so that there are few sizes."""
        rows = sum(len(run.tokens) for run in runs)
        if rows == len(runs) or not rows % ROWS:
            return []
        return [Run([0] * (ROWS - rows % ROWS), 0, self._unused, ends=False)]


def _ask_for_some(model: Any) -> None:
    """Have logits computed for the tokens that an input names, instead of for all."""
    logits = model.get_results()[0]
    node = logits.input_value(0).get_node()
    while node.get_type_name() in BEHIND_PRODUCT:
        node = node.input_value(0).get_node()
    taken = node if node.get_type_name() == "MatMul" else logits
    wanted = opset13.parameter([-1], np.int64, name=WANTED)
    wanted.output(0).get_tensor().set_names({WANTED})
    some = opset13.gather(taken.input_value(0), wanted, opset13.constant(np.int64(0)))
    taken.input(0).replace_source_output(some.output(0))
    model.add_parameters([wanted])
    model.validate_nodes_and_infer_types()


def _page_bytes(port: Any) -> int:
    numbers = int(np.prod([side.get_length() for side in list(port.partial_shape)[1:]]))
    return numbers * int(port.element_type.bitwidth) // 8
