"""Which engine a row gets that leaves the choice: by its task; imports no engine."""

from __future__ import annotations

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
