"""The pipelines of one set of weights: which there are, their sizes, and a picture drawn by one; knows no request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from gateway.config import ConfigError, ModelSpec
from gateway.engines.diffusion.families import FAMILIES, Family
from gateway.engines.diffusion.options import Options
from gateway.engines.diffusion.parts import INDEX, load_parts, read_index
from gateway.engines.options import read_options
from gateway.engines.precision import Precision, choose, use_threads

Start = Literal["text", "image", "mask"]
INPAINTING_CHANNELS = 9
# Beyond it the decoder works on overlapping tiles, as its memory grows with the picture.
UNTILED_PIXELS = 1 << 20


class Studio:
    """Loaded weights and the pipelines over them, which share every part."""

    def __init__(self, spec: ModelSpec, files: Path) -> None:
        """Load the folder `files`; raises `ConfigError` saying what is wrong with it or with the row."""
        diffusers.utils.logging.set_verbosity_error()  # its warnings quote prompts
        self.options = read_options(Options, spec)
        use_threads(spec)
        index = read_index(files)
        self.family = _family(index)
        precision = _precision(spec, self.family)
        self.device = precision.device
        self._parts = load_parts(files, index, precision)
        if self.options.scheduler is not None:
            self._parts["scheduler"] = _scheduler(spec, self.options, self._parts["scheduler"])
        self._pipelines: dict[Start, Any] = {}
        self._parts["vae"].enable_slicing()
        scale = self.pipeline("text").vae_scale_factor
        self.multiple: int = scale * self.family.patch
        self.native: tuple[int, int] = self._native(scale)

    @property
    def redraws_only(self) -> bool:
        """Whether the weights are made for inpainting and cannot do without an image and a mask."""
        denoiser = self._parts.get("unet")
        return denoiser is not None and denoiser.config.in_channels == INPAINTING_CHANNELS

    def offers(self, start: Start) -> bool:
        """Whether a picture can be started from that."""
        return getattr(self.family, start) is not None

    def pipeline(self, start: Start) -> Any:
        """The pipeline for pictures that start from text alone, from an image, or from an image and a mask."""
        if start not in self._pipelines:
            self._pipelines[start] = _assemble(getattr(self.family, start), self._parts)
        return self._pipelines[start]

    def draw(self, start: Start, size: tuple[int, int], pause: Callable[[], None], **wishes: Any) -> Any:
        """What the pipeline returns for those of `wishes` that are set and known to it; `pause` after each step."""

        def on_step_end(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            pause()
            return tensors

        pipeline = self.pipeline(start)
        width, height = size
        wishes |= {"width": width, "height": height, "max_sequence_length": 256 if self._is_short() else None}
        known = inspect.signature(pipeline.__call__).parameters
        wishes = {name: value for name, value in wishes.items() if value is not None and name in known}
        self._parts["vae"].use_tiling = width * height > UNTILED_PIXELS
        return pipeline(**wishes, output_type="pil", callback_on_step_end=on_step_end)

    def _is_short(self) -> bool:
        """FLUX.1 [schnell] was trained on half as many tokens as [dev], and without a guidance to embed."""
        return self.family is FAMILIES["FluxPipeline"] and not self._parts["transformer"].config.guidance_embeds

    def _native(self, scale: int) -> tuple[int, int]:
        """Width and height in pixels that the weights were trained for."""
        if (denoiser := self._parts.get("unet")) is None:
            side = self.pipeline("text").default_sample_size * scale
            return side, side
        size = denoiser.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return width * scale, height * scale


def _family(index: dict[str, Any]) -> Family:
    name = str(index.get("_class_name"))
    if name not in FAMILIES:
        raise ConfigError(f"{INDEX}: no pipeline for {name[:60]!r} (there are: {', '.join(FAMILIES)})")
    return FAMILIES[name]


def _precision(spec: ModelSpec, family: Family) -> Precision:
    """What the row asks for; if it leaves the choice, on GPUs what the family was published in."""
    found = choose(spec)
    if spec.dtype == "auto" and found.device != "cpu" and family.half == "float16":
        return Precision(found.device, "float16")
    return found


def _scheduler(spec: ModelSpec, options: Options, current: Any) -> Any:
    kind = getattr(diffusers, options.scheduler or "", None)
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise ConfigError(f"row {spec.name}: options.scheduler: diffusers has no scheduler {options.scheduler!r}")
    return kind.from_config(current.config, **options.scheduler_settings)  # type: ignore[attr-defined]


def _assemble(kind: Any, parts: dict[str, Any]) -> Any:
    """A pipeline of the parts that it takes; those it takes and the folder has not are absent."""
    parameters = {name: value for name, value in inspect.signature(kind.__init__).parameters.items() if name != "self"}
    defaults = {name: None for name, value in parameters.items() if value.default is inspect.Parameter.empty}
    mine = {name: value for name, value in parts.items() if name in parameters}
    if "requires_safety_checker" in parameters:
        mine["requires_safety_checker"] = parts.get("safety_checker") is not None
    if "add_watermarker" in parameters:
        mine["add_watermarker"] = False
    pipeline = kind(**defaults | mine)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
