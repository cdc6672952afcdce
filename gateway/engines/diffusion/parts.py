"""Loads the parts of a diffusers folder, each from safetensors and whole or not at all; knows no pipeline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import diffusers
import orjson
import transformers
from diffusers import ModelMixin
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from transformers import AutoTokenizer, CLIPImageProcessorPil, PreTrainedModel, PreTrainedTokenizerBase

from gateway.config import ConfigError
from gateway.engines.precision import Precision
from gateway.engines.pretrained import load_pretrained

INDEX = "model_index.json"
# What a folder may name and lack; without the first two, pictures are not judged.
OPTIONAL = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
_PLAIN = re.compile(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")
_LIBRARIES: dict[str, Any] = {"diffusers": diffusers, "transformers": transformers}
# Where the library's own names are not to be used: one is in a private module, the others need torchvision. Of
# FLUX.2's processor only the tokenizer is ever asked.
_CLASSES = {
    "StableDiffusionSafetyChecker": StableDiffusionSafetyChecker,
    "CLIPFeatureExtractor": CLIPImageProcessorPil,
    "CLIPImageProcessor": CLIPImageProcessorPil,
    "CLIPImageProcessorPil": CLIPImageProcessorPil,
    "PixtralProcessor": AutoTokenizer,
}


def read_index(files: Path) -> dict[str, Any]:
    """What model_index.json says; raises `ConfigError` if the folder is not one of diffusers'."""
    try:
        index = orjson.loads((files / INDEX).read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"the weights have no {INDEX}: not a folder of diffusers") from None
    except orjson.JSONDecodeError:
        index = None
    if not isinstance(index, dict):
        raise ConfigError(f"{INDEX} is not a JSON object")
    return index


def load_parts(files: Path, index: dict[str, Any], precision: Precision) -> dict[str, Any]:
    """Every part that the index names, ready to run, and its plain settings; None for what is absent and optional.

    Raises `ConfigError` naming the part that is missing, incomplete or of an unknown kind.
    """
    return {
        name: _load(files / name, entry, precision) if isinstance(entry, list) else entry
        for name, entry in index.items()
        if not name.startswith("_")
    }


def _load(folder: Path, entry: list[Any], precision: Precision) -> Any:
    name = folder.name
    if entry == [None, None] or (name in OPTIONAL and not folder.is_dir()):
        return None
    kind = _class_of(name, entry)
    if not folder.is_dir():
        raise ConfigError(f"{INDEX} names the part {name}, which is not among the files")
    if issubclass(kind, ModelMixin):
        return _load_model(kind, folder, precision)
    try:
        if issubclass(kind, PreTrainedModel):
            return load_pretrained(kind, folder, precision, variant=_variant(folder))
        return kind.from_pretrained(folder, local_files_only=True)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.detail}") from None


def _class_of(name: str, entry: list[Any]) -> Any:
    """The class of a part; only those of the two libraries that are made to be loaded from a folder."""
    library, kind = map(str, entry[:2]) if len(entry) == 2 else ("", "")
    if kind in _CLASSES:
        return _CLASSES[kind]
    found = getattr(_LIBRARIES.get(library), kind, None)
    loadable = (ModelMixin, SchedulerMixin, PreTrainedModel, PreTrainedTokenizerBase)
    if isinstance(found, type) and issubclass(found, loadable):
        return found
    raise ConfigError(f"{INDEX}: {name} is of an unknown kind, {library[:40]}.{kind[:60]}")


def _load_model(kind: Any, folder: Path, precision: Precision) -> Any:
    model, found = kind.from_pretrained(
        folder,
        torch_dtype=precision.torch_dtype,
        local_files_only=True,
        use_safetensors=True,
        variant=_variant(folder),
        output_loading_info=True,
    )
    lacking = sorted(str(key) for key in [*found["missing_keys"], *found["mismatched_keys"]])
    if lacking:
        raise ConfigError(f"{folder.name}: the weights do not fit the model: {lacking[0]} ({len(lacking)} in all)")
    return model.to(precision.device).eval()


def _variant(folder: Path) -> str | None:
    """`fp16` if the folder has its weights in that form alone."""
    return None if any(_PLAIN.fullmatch(path.name) for path in folder.glob("*.safetensors")) else "fp16"
