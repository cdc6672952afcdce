"""Text generation: one engine over several ways to run the weights; knows which to take, not how they work."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

from gateway.config import ConfigError, ModelSpec
from gateway.engines.base import StreamEngine
from gateway.engines.llm.backend import Backend, TokenModel
from gateway.engines.llm.local import LocalBackend
from gateway.engines.llm.options import Options
from gateway.engines.llm.weights import Weights, find_weights
from gateway.engines.options import read_options
from gateway.errors import GatewayError
from gateway.tasks import Piece, Task
from gateway.tasks.generation import GenerationInput

logger = logging.getLogger(__name__)


class Engine(StreamEngine):
    """Generates text with the backend that the row names or, left to choose, the fastest one for the weights."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        self._backend: Backend = LocalBackend(_load(spec, read_options(Options, spec), find_weights(spec, files)))
        self.device = self._backend.device

    def admit(self, id: int, input: GenerationInput) -> None:
        """Take in one request; raises `GatewayError` if it cannot be answered."""
        self._backend.admit(id, input)

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """Advance every stream; the new text of those that have some."""
        return self._backend.step()

    def drop(self, id: int) -> None:
        """Cancel a stream."""
        self._backend.drop(id)


def _load(spec: ModelSpec, options: Options, weights: Weights) -> TokenModel:
    """The weights, loaded; `auto` takes OpenVINO where it can and transformers where it cannot."""
    obstacle = _obstacle(spec, weights)
    if options.backend == "openvino" or (options.backend == "auto" and obstacle is None):
        if obstacle is not None:
            raise ConfigError(f"row {spec.name}: options.backend: openvino cannot be used: {obstacle}")
        try:
            return _openvino(spec, options, weights)
        except RuntimeError as error:
            if options.backend == "openvino" or weights.kind != "gguf":
                raise
            obstacle = f"it cannot read this file ({str(error).strip().splitlines()[-1][:200]})"
    if weights.kind == "openvino":
        raise ConfigError(f"row {spec.name}: source: is in OpenVINO's form, but {obstacle or 'options.backend is set'}")
    return _transformers(spec, weights, obstacle or "the row asks for it")


def _obstacle(spec: ModelSpec, weights: Weights) -> str | None:
    """Why OpenVINO is not for this row, if it is not."""
    if weights.kind == "safetensors":
        return "it reads GGUF and its own form, not safetensors"
    if spec.device.startswith("cuda"):
        return f"device is {spec.device}"
    if importlib.util.find_spec("openvino_genai") is None:
        return "openvino_genai is not installed"
    return None


def _openvino(spec: ModelSpec, options: Options, weights: Weights) -> TokenModel:
    from gateway.engines.llm.openvino import OpenVinoModel

    logger.info("%s: backend openvino for %s weights", spec.name, weights.kind)
    return OpenVinoModel(spec, options, weights)


def _transformers(spec: ModelSpec, weights: Weights, reason: str) -> TokenModel:
    from gateway.engines.llm.transformers import TransformersModel

    logger.info("%s: backend transformers for %s weights; not openvino: %s", spec.name, weights.kind, reason)
    return TransformersModel(spec, weights)
