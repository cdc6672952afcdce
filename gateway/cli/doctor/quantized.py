"""Checks whether the quantized weights that are here can be read on this machine; opens no more than their headers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gateway.cli.doctor.finding import Finding, fault
from gateway.config import ModelSpec
from gateway.engines.quantization_methods import obstacle
from gateway.errors import GatewayError
from gateway.runtime.memory import HOST
from gateway.runtime.need import is_served_elsewhere
from gateway.weights.quantization import DAMAGED, read_quantization
from gateway.weights.store import Store

# What a GPU can compute is not known without a process that uses it: its worker will say if that is too little.
_ANY_GPU = (99, 0)


def check(store: Store, specs: Sequence[ModelSpec], devices: Collection[str]) -> Iterator[Finding]:
    """What is missing for which row; `devices` are the host and the GPUs."""
    for spec in specs:
        has_gpu = spec.device != "cpu" and any(device != HOST for device in devices)
        try:
            files = store.find(spec) if spec.source and not is_served_elsewhere(spec) else None
            if files is None:
                continue
            lacks = obstacle(files, read_quantization(files), _ANY_GPU if has_gpu else None)
        except (GatewayError, OSError, *DAMAGED):
            continue  # told with the rows or the weights, or by the load
        if lacks is not None:
            yield fault(f"weights of {spec.name}", lacks, "install what is missing, or take weights in another form")
