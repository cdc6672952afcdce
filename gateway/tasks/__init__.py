"""The contracts: what a caller sends and what comes back, one file per task."""

from gateway.tasks import (
    embedding_forms,
    image_classification,
    multimodal_embeddings,
    object_detection,
    reranking,
    safety,
    speech_flux,
    speech_nemotron,
    speech_nova,
    speech_recognition,
    summarization,
    text_classification,
    text_embeddings,
    text_generation,
    text_to_image,
    text_to_speech,
    translation,
    turn_detection,
)
from gateway.tasks.base import Answer, Extent, Origin, Registry, Task, TaskInput, UnknownTask
from gateway.tasks.pieces import Piece, Usage

TASKS = Registry(
    [
        text_classification.TASK,
        reranking.TASK,
        text_embeddings.TASK,
        embedding_forms.BGE_M3,
        embedding_forms.EMBEDDING_GEMMA,
        embedding_forms.QWEN3,
        text_generation.TASK,
        safety.TASK,
        translation.TASK,
        translation.INDIC_TRANS,
        summarization.TASK,
        speech_recognition.WHISPER,
        speech_recognition.TURBO,
        speech_nova.NOVA,
        speech_nemotron.NEMOTRON,
        speech_flux.FLUX,
        text_to_speech.MELOTTS,
        text_to_speech.AURA,
        text_to_speech.AURA_2_EN,
        text_to_speech.AURA_2_ES,
        turn_detection.TASK,
        image_classification.TASK,
        object_detection.TASK,
        multimodal_embeddings.TASK,
        text_to_image.STABLE_DIFFUSION,
        text_to_image.DREAMSHAPER,
        text_to_image.FLUX_1,
        text_to_image.FLUX_2,
        text_to_image.PHOENIX,
        text_to_image.LUCID,
    ]
)

__all__ = ["TASKS", "Answer", "Extent", "Origin", "Piece", "Registry", "Task", "TaskInput", "UnknownTask", "Usage"]
