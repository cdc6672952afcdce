"""Which engine a row gets, also one that leaves the choice, and whether it exists; imports no engine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from gateway.config import ConfigError, ModelSpec

AUTO = "auto"
# A file of this folder for each task. What suits the weights and the hardware is chosen inside the engine.
ENGINES = {
    "automatic-speech-recognition": "whisper",
    "image-classification": "image_classifier",
    "image-text-to-text": "llm",
    "image-to-text": "llm",
    "multimodal-embeddings": "image_text_embedder",
    "object-detection": "object_detector",
    "reranking": "reranker",
    "summarization": "summarizer",
    "text-classification": "classifier",
    "text-embeddings": "embedder",
    "text-generation": "llm",
    "text-to-image": "diffusion",
    "text-to-speech": "espeak",
    "translation": "translator",
    "voice-activity-detection": "smart_turn",
}


def engine_name(spec: ModelSpec) -> str:
    """The engine of the row; raises `ConfigError` if it leaves the choice and its task has none."""
    if spec.engine != AUTO:
        return spec.engine
    if spec.task not in ENGINES:
        raise ConfigError(f"row {spec.name}: engine: auto knows no engine for the task {spec.task}: name one")
    return ENGINES[spec.task]


def check_engine(spec: ModelSpec) -> None:
    """Raise `ConfigError` if the row's engine is no module; of one with a dot, the packages above it are imported."""
    name = engine_name(spec)
    module = name.partition(":")[0] if "." in name else f"{__package__}.{name}"
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ConfigError(f"row {spec.name}: engine: there is no engine {name}: it would be the module {module}")


def check_own_engines(specs: Sequence[ModelSpec]) -> None:
    """Raise `ConfigError` for a row whose engine should be a file of this folder and is none.

    An engine with a dot may live anywhere: its packages are imported by its worker, and nowhere else.
    """
    for spec in specs:
        if "." not in spec.engine:
            check_engine(spec)
