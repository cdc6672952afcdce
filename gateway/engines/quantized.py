"""Loads quantized weights through transformers, whole or not at all; knows no task.

Where the library would fetch kernels from a hub to multiply packed numbers (FP8 in blocks, MXFP4), the numbers are
unpacked while they are loaded instead, on every device.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config import ConfigError
from gateway.engines.quantization_methods import obstacle, refusal
from gateway.weights.quantization import DAMAGED, Quantization, read_quantization

if TYPE_CHECKING:
    import torch

_FP8 = ("fp8", "mxfp8")


@dataclass(frozen=True, slots=True)
class Reading:
    """How weights are read through transformers onto a device; `packing` is what their config.json said, read once."""

    device: str
    packing: Quantization | None = None

    @classmethod
    def of(cls, files: Path, device: str) -> Reading:
        """How the folder `files` is read. Raises `ConfigError` if it cannot be read here."""
        try:
            packing = read_quantization(files)
            hindrance = obstacle(files, packing, _capability(device))
        except DAMAGED as error:
            raise ConfigError(f"the weights are damaged: {_first_line(error)}") from error
        if hindrance is not None:
            raise ConfigError(hindrance)
        return cls(device, packing)

    @property
    def arguments(self) -> dict[str, Any]:
        """What to pass to the library: nothing for plain weights."""
        return {} if self.packing is None else {"device_map": {"": self.device}, **_unpacking(self.packing)}

    def failure(self, error: Exception) -> ConfigError | None:
        """What to say of quantized weights on which the library failed; None for plain ones."""
        return None if self.packing is None else ConfigError(refusal(self.packing.method, _first_line(error)))

    def finish(self, model: Any, dtype: torch.dtype) -> Any:
        """The model that was read, in the form in which it will be used.

        Of FP8 weights the library leaves those without a scale in the type that they have in the file.
        compressed-tensors would unpack at the first request, and take memory that nobody had counted.
        """
        if self.packing is not None and self.packing.method in _FP8:
            kept = model._get_dtype_plan(dtype)  # parts that are float32 whatever the rest is
            for name, weight in model.named_parameters():
                if name.endswith(".weight"):
                    weight.data = weight.data.to(next((kept[part] for part in kept if part in name), dtype))
        if hasattr(model, "ct_decompress_hook"):
            model.hf_quantizer.compressor.decompress_model(model)
        return model


def check_complete(found: Mapping[str, Collection[Any]]) -> None:
    """Raise `ConfigError` if a load left a part of the model to chance; `found` is the library's loading info.

    What is missing would be random numbers; a scale that nobody read means that its weight was not unpacked by it.
    """
    lacking = sorted([*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])])
    if lacking:
        raise ConfigError(f"the weights do not fit the model: {lacking[0]} is missing ({len(lacking)} in all)")
    unread = set(found["unexpected_keys"])
    scales = sorted(key for key in unread if _scaled_weight(key) not in {None, *unread})
    if scales:
        raise ConfigError(f"the weights do not fit the model: nothing reads {scales[0]} ({len(scales)} in all)")


def refuse_quantized(files: Path, device: str) -> None:
    """Raise `ConfigError` for quantized weights: for the kinds of models that are read from plain ones alone."""
    packing = Reading.of(files, device).packing
    if packing is not None:
        raise ConfigError(refusal(packing.method, "models of this kind are read from plain weights only"))


def _unpacking(packing: Quantization) -> dict[str, Any]:
    from transformers.utils.quantization_config import FineGrainedFP8Config, Mxfp4Config

    if packing.method in _FP8:
        return {"quantization_config": FineGrainedFP8Config(dequantize=True)}
    if packing.method == "mxfp4":
        return {"quantization_config": Mxfp4Config(dequantize=True)}
    return {}


def _scaled_weight(key: str) -> str | None:
    """The weight that a tensor of this name belongs to, if it says how that one is packed."""
    layer, _, name = key.rpartition(".")
    is_part = name in ("scales", "qzeros") or name.startswith(("weight_scale", "weight_zero_point", "weight_global"))
    return f"{layer}.weight" if is_part else None


def _capability(device: str) -> tuple[int, int] | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.get_device_capability(device)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
