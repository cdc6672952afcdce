"""The contracts: what a caller sends and what comes back, one file per task."""

from gateway.tasks import (
    image_classification,
    multimodal_embeddings,
    object_detection,
    speech_recognition,
    text_classification,
    text_embeddings,
    text_generation,
    text_to_speech,
)
from gateway.tasks.base import Answer, Extent, Piece, Registry, Task, TaskInput, UnknownTask, Usage

TASKS = Registry(
    [
        text_classification.TASK,
        text_embeddings.TASK,
        text_generation.TASK,
        speech_recognition.WHISPER,
        speech_recognition.TURBO,
        text_to_speech.MELOTTS,
        text_to_speech.AURA,
        image_classification.TASK,
        object_detection.TASK,
        multimodal_embeddings.TASK,
    ]
)

__all__ = ["TASKS", "Answer", "Extent", "Piece", "Registry", "Task", "TaskInput", "UnknownTask", "Usage"]
