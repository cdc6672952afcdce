"""Which quantized weights can be read here, and what is missing for the others; imports no model library.

The methods are those of transformers' quantizers, with the packages and devices that these ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from gateway.weights.quantization import Quantization, packed_weight

_ELSEWHERE = "have a server that reads it answer for the row (options.command)"
_APPLIED_ONLY = f"transformers can apply but not read it; {_ELSEWHERE}"
_FROM_A_HUB = f"its kernels would be fetched from a hub; {_ELSEWHERE}"


@dataclass(frozen=True, slots=True)
class Method:
    """What reading weights takes: `capability` of the least CUDA device that will do, `obstacle` if nothing helps."""

    packages: tuple[str, ...] = ()
    capability: tuple[int, int] | None = None
    obstacle: str | None = None


METHODS: Mapping[str, Method] = {
    "fp8": Method(),
    "mxfp8": Method(),
    "mxfp4": Method(),
    "compressed-tensors": Method(("compressed-tensors>=0.15",)),
    "bitsandbytes": Method(("bitsandbytes>=0.46.1",)),
    "awq": Method(("gptqmodel",)),
    "gptq": Method(("optimum>=1.24", "gptqmodel>=1.4.3")),
    "auto-round": Method(("auto-round>=0.5",)),
    "torchao": Method(("torchao>=0.15",)),
    "aqlm": Method(("aqlm",)),
    "quark": Method(("amd-quark>=0.12",)),
    "sinq": Method(("sinq",)),
    "fouroversix": Method(("fouroversix",)),
    "gemma": Method(),
    "vptq": Method(("vptq>=0.0.4",), (0, 0)),
    "spqr": Method(("spqr_quant",), (0, 0)),
    "higgs": Method(("flute-kernel>=0.4.1", "fast_hadamard_transform"), (0, 0)),
    "fp_quant": Method(("fp_quant>=0.3.2",), (0, 0)),
    "fbgemm_fp8": Method(("fbgemm-gpu",), (9, 0)),
    "bitnet": Method(obstacle=f"its kernels would be compiled while it answers; {_ELSEWHERE}"),
    "eetq": Method(obstacle=_FROM_A_HUB),
    "metal": Method(obstacle=_FROM_A_HUB),
    "hqq": Method(obstacle=_APPLIED_ONLY),
    "quanto": Method(obstacle=_APPLIED_ONLY),
    "nvfp4": Method(obstacle=_APPLIED_ONLY),
}


def obstacle(files: Path, packing: Quantization | None, capability: tuple[int, int] | None) -> str | None:
    """Why the weights in the folder `files` cannot be read, in one line, or None if nothing is known to hinder it.

    `packing` is what their config.json says, None for plain weights; `capability` is the compute capability of the CUDA
    device that they are for, None for the CPU. Raises one of `DAMAGED`, and `OSError`.
    """
    if packing is None:
        name = packed_weight(files)
        return None if name is None else f"{name} is not a plain number, and config.json does not say how it is packed"
    if not packing.method:
        return "config.json has a quantization_config without a quant_method"
    method = METHODS.get(packing.method, Method(obstacle=f"transformers does not know it; {_ELSEWHERE}"))
    lacks = method.obstacle or _weak_device(method, capability) or _missing_packages(method.packages)
    return None if lacks is None else refusal(packing.method, lacks)


def refusal(method: str, lacks: str) -> str:
    """What to say of weights in this form that cannot be read."""
    return f"the weights are quantized as {method}, which cannot be read here: {lacks}"


def _missing_packages(packages: tuple[str, ...]) -> str | None:
    missing = [text for text in packages if not _is_installed(Requirement(text))]
    return f"it needs {' and '.join(missing)}: pip install {' '.join(map(_quoted, missing))}" if missing else None


def _is_installed(wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _quoted(text: str) -> str:
    return f"'{text}'" if ">" in text else text


def _weak_device(method: Method, capability: tuple[int, int] | None) -> str | None:
    if method.capability is None or (capability is not None and capability >= method.capability):
        return None
    least = ".".join(map(str, method.capability))
    return "it needs a CUDA device" + (f" of compute capability {least}" if method.capability > (0, 0) else "")
