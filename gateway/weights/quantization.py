"""What a folder of safetensors says of how its numbers are packed; reads config.json and headers, knows no library."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Methods whose weights are spread out to plain numbers while they are loaded.
UNPACKED = frozenset({"fp8", "mxfp8", "mxfp4", "compressed-tensors"})
PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16"})
MAX_HEADER_BYTES = 100_000_000  # the most that the safetensors format allows
# What reading files that are not what they should be may raise.
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_INTEGER_BITS = {"I8": 8, "U8": 8, "I32": 32}


@dataclass(frozen=True, slots=True)
class Quantization:
    """The `quantization_config` of a config.json: the method's name, empty if it has none, and its settings."""

    method: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors file: its type in the format's own words, and how many values of that type."""

    name: str
    type: str
    values: int


def read_quantization(folder: Path) -> Quantization | None:
    """What the config.json in `folder` says, for the whole model or its text part; None for plain weights.

    Raises one of `DAMAGED`, and `OSError`.
    """
    file = folder / "config.json"
    if not file.is_file():
        return None
    config = json.loads(file.read_bytes())
    texts = config.get("text_config") if isinstance(config, dict) else None
    places = [place for place in (config, texts) if isinstance(place, dict)]
    found = next(
        (place["quantization_config"] for place in places if place.get("quantization_config") is not None), None
    )
    if found is None:
        return None
    settings = found if isinstance(found, dict) else {}
    is_bits_and_bytes = bool(settings.get("load_in_4bit") or settings.get("load_in_8bit"))
    method = settings.get("quant_method") or ("bitsandbytes" if is_bits_and_bytes else "")
    return Quantization(str(method)[:40], settings)


def tensors(folder: Path) -> Iterator[Tensor]:
    """The tensors of the safetensors files in `folder`. Raises one of `DAMAGED`, and `OSError`."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER_BYTES:
                raise ValueError(f"{path.name}: the header is too long")
            header = json.loads(file.read(size))
        for name, entry in header.items():
            if name != "__metadata__":
                yield Tensor(name, entry["dtype"], math.prod(entry["shape"]))


def packed_weight(folder: Path) -> str | None:
    """The name of a weight that is no floating-point number, if any. Raises one of `DAMAGED`, and `OSError`."""
    found = (one.name for one in tensors(folder) if "weight" in one.name and one.type not in PLAIN_TYPES)
    return next(found, None)


def unpacked_bytes(folder: Path) -> int:
    """What weights that are unpacked while they are loaded take with 16 bits for each number; 0 for any others.

    Raises one of `DAMAGED`, and `OSError`.
    """
    packing = read_quantization(folder)
    if packing is None or packing.method not in UNPACKED:
        return 0
    bits = _bits(packing)
    return 2 * sum(_numbers(one, packing.method, bits) for one in tensors(folder))


def _numbers(tensor: Tensor, method: str, bits: int) -> int:
    """How many numbers the values stand for."""
    is_pair = method in ("fp8", "mxfp8") and tensor.type == "I8"  # experts in 4 bits beside layers in 8
    if is_pair or tensor.name.endswith(("_blocks", "weight_packed")):
        return tensor.values * _INTEGER_BITS.get(tensor.type, bits) // bits
    return tensor.values


def _bits(packing: Quantization) -> int:
    """Of one packed number: the fewest, where a model has several kinds."""
    if packing.method != "compressed-tensors":
        return 4
    groups = packing.settings.get("config_groups")
    found = [(group.get("weights") or {}).get("num_bits") for group in (groups or {}).values()]
    return min((bits for bits in found if isinstance(bits, int) and bits > 0), default=8)
