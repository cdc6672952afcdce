"""Loads models from local files and no others, and from safetensors alone; knows no task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.engines.precision import Precision
from gateway.engines.quantized import Reading, check_complete, refuse_quantized


def load_pretrained(
    kind: Any,
    files: Path,
    precision: Precision,
    instead: dict[str, Any] | None = None,
    variant: str | None = None,
) -> Any:
    """The model in the folder `files`, by the class `kind` of transformers, ready to run.

    `instead` may hold a `config` and a `state_dict` to use in their place; `variant` is a part of the files' names, as
    in `model.fp16.safetensors`. Raises `ConfigError` if the weights lack a part of the model, which the library would
    otherwise fill with random numbers, or are quantized in a way that cannot be read here.
    """
    reading = Reading(precision.device) if instead else Reading.of(files, precision.device)
    model, found = kind.from_pretrained(
        None if instead else files,
        dtype=precision.torch_dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        variant=variant,
        **(instead or reading.arguments),
    )
    check_complete(found)
    return reading.finish(model, precision.torch_dtype).to(precision.device).eval()


def load_sentence_model(kind: Any, files: Path, precision: Precision) -> Any:
    """The model in the folder `files`, by the class `kind` of sentence-transformers, ready to run.

    Raises `ConfigError` if the weights are quantized.
    """
    refuse_quantized(files, precision.device)
    return kind(
        str(files),
        device=precision.device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": precision.torch_dtype, "use_safetensors": True},
    ).eval()
