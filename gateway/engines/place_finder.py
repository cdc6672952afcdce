"""Finds what words name on pictures, by an open-vocabulary detector of transformers; knows no task."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

from gateway.config import ConfigError, ModelSpec
from gateway.engines.images import decode
from gateway.engines.precision import choose
from gateway.engines.pretrained import load_pretrained
from gateway.errors import BadInput
from gateway.tasks.places import Region, Search

# The families, and the score below which the library takes nothing for an object.
THRESHOLDS = {"owlvit": 0.1, "owlv2": 0.1, "grounding-dino": 0.25, "mm-grounding-dino": 0.25}


class PlaceFinder:
    """OWL-ViT, OWLv2 or Grounding DINO; each picture alone."""

    def __init__(self, spec: ModelSpec, files: Path, threshold: float | None = None) -> None:
        """Load the folder; raises `ConfigError` for what is no such detector. Its numbers are float32, or float16."""
        self._kind = _kind(spec, files)
        # The row's own dtype is for the model beside it; bfloat16 has too few digits to place a box.
        precision = choose(spec.model_copy(update={"dtype": "auto"}), ("float32", "float16"))
        self._model = load_pretrained(AutoModelForZeroShotObjectDetection, files, precision)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(files, local_files_only=True, trust_remote_code=False)
        self._processor: Any = AutoImageProcessor.from_pretrained(
            files, backend="pil", local_files_only=True, trust_remote_code=False
        )  # type: ignore[no-untyped-call]
        self._threshold = THRESHOLDS[self._kind] if threshold is None else threshold
        config = self._model.config
        self._window = config.max_text_len if self._is_dino else config.text_config.max_position_embeddings
        self.description = f"{self._kind} on {precision.device}"

    @property
    def _is_dino(self) -> bool:
        return "dino" in self._kind

    def tokens(self, target: str) -> int:
        """How many tokens the words are; raises `BadInput` if they are more than the model reads."""
        count = len(self._tokenizer(self._phrase(target))["input_ids"])
        if count > self._window:
            raise BadInput(f"'/target': {count} tokens; this model reads at most {self._window}")
        return count

    @torch.inference_mode()
    def find(self, search: Search) -> list[Region]:
        """The places, the surest first; raises `BadInput` for a picture that cannot be decoded."""
        image = decode(search.image)
        # CLIP's encoder was trained on texts of one length.
        padding = {} if self._is_dino else {"padding": "max_length", "max_length": self._window}
        words = self._tokenizer([self._phrase(search.target)], return_tensors="pt", **padding)
        inputs = {**words, **self._processor(images=image, return_tensors="pt")}
        outputs = self._model(**{name: self._place(tensor) for name, tensor in inputs.items()})
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        (found,) = self._processor.post_process_object_detection(
            outputs, self._threshold, torch.tensor([(image.height, image.width)])
        )
        surest = found["scores"].argsort(descending=True, stable=True)
        sides = torch.tensor([image.width, image.height] * 2)
        boxes = (found["boxes"][surest].cpu() / sides).clamp(0, 1).tolist()
        places = (Region(x_min=left, y_min=top, x_max=right, y_max=bottom) for left, top, right, bottom in boxes)
        # OWLv2 looks at a square, of which the picture is a part: what is beyond it is nothing.
        return list(islice((place for place in places if place.has_area()), search.most))

    def _phrase(self, target: str) -> str:
        """The words as the family was trained to read them."""
        return f"{target.strip().lower().rstrip('.')}." if self._is_dino else target

    def _place(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._model.device, self._model.dtype if tensor.is_floating_point() else None)


def _kind(spec: ModelSpec, files: Path) -> str:
    try:
        kind = str(json.loads((files / "config.json").read_bytes()).get("model_type"))
    except (OSError, ValueError):
        raise ConfigError(f"row {spec.name}: options.places: no folder of that name with a config.json") from None
    if kind not in THRESHOLDS:
        raise ConfigError(f"row {spec.name}: options.places: {kind} is not one of {', '.join(THRESHOLDS)}")
    return kind
