"""What differs from one family of diffusion models to the next; knows no request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers import (
    Flux2KleinPipeline,
    Flux2Pipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)


@dataclass(frozen=True, slots=True)
class Family:
    """The pipelines that share one set of weights, by what a picture starts from.

    `patch`: the denoiser joins so many latent pixels a side. `half`: the number type it runs in on GPUs.
    `looks`: it takes images to look at, beside the prompt.
    """

    text: Any
    image: Any = None
    mask: Any = None
    patch: int = 1
    half: str = "float16"
    looks: bool = False


_SD = Family(StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline)
_SDXL = Family(StableDiffusionXLPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline)
_FLUX = Family(FluxPipeline, FluxImg2ImgPipeline, FluxInpaintPipeline, patch=2, half="bfloat16")

# By the class that model_index.json names.
FAMILIES = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionImg2ImgPipeline": _SD,
    "StableDiffusionInpaintPipeline": _SD,
    "LatentConsistencyModelPipeline": _SD,
    "StableDiffusionXLPipeline": _SDXL,
    "StableDiffusionXLImg2ImgPipeline": _SDXL,
    "StableDiffusionXLInpaintPipeline": _SDXL,
    "FluxPipeline": _FLUX,
    "Flux2Pipeline": Family(Flux2Pipeline, patch=2, half="bfloat16", looks=True),
    "Flux2KleinPipeline": Family(Flux2KleinPipeline, patch=2, half="bfloat16", looks=True),
}
