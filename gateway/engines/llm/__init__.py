"""Text generation: one engine over several ways to run the weights; knows which to take, not how they work."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.config import ConfigError, ModelSpec
from gateway.engines.base import Access, StreamEngine
from gateway.engines.llm.adapter_files import AdapterMisfit
from gateway.engines.llm.backend import Backend, TokenModel
from gateway.engines.llm.local import LocalBackend
from gateway.engines.llm.options import Options
from gateway.engines.llm.seeking import SeekingBackend
from gateway.engines.llm.upstream.options import UpstreamOptions, is_upstream
from gateway.engines.llm.weights import Weights, find_weights
from gateway.engines.options import read_options
from gateway.errors import GatewayError
from gateway.tasks import Piece, Task, Usage
from gateway.tasks.generation import GenerationInput
from gateway.weights.shelf import converted_folder

logger = logging.getLogger(__name__)


class Engine(StreamEngine):
    """Generates text with the backend that the row names or, left to choose, the fastest one for the weights.

    A row with `url` or `command` in its options has another server generate it.
    """

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        self._backend: Backend = _upstream(spec, files) if is_upstream(spec) else _local(spec, files)
        self.device, self.description = self._backend.device, self._backend.description
        self.cache_bytes = self._backend.cache_bytes

    @classmethod
    def access(cls, spec: ModelSpec, files: Path) -> Access:
        """The way to another server, or a place for the converted form of a GGUF."""
        if is_upstream(spec):
            return Access(network=True, programs="command" in spec.options)
        weights, options = find_weights(spec, files), read_options(Options, spec)
        may_convert = weights.kind == "gguf" and options.keep_converted and options.backend != "transformers"
        if not may_convert or _obstacle(spec, weights) is not None:
            return Access()
        return Access(folders=(converted_folder(weights.path),))

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call `on_lost` once the server that generates the text is gone."""
        self._backend.watch(on_lost)

    def close(self) -> None:
        """End the server that generates the text, if it was started here."""
        self._backend.close()

    def admit(self, id: int, input: GenerationInput) -> None:
        """Take in one request; raises `GatewayError` if it cannot be answered."""
        search = input.search()
        if search is not None and not isinstance(self._backend, SeekingBackend):
            raise search.refusal()
        self._backend.admit(id, input)

    def step(self) -> Sequence[tuple[int, Piece | GatewayError]]:
        """Advance every stream; the new text of those that have some."""
        return self._backend.step()

    def drop(self, id: int) -> Usage | None:
        """Cancel a stream; what it has cost, if that is known."""
        return self._backend.drop(id)


def _upstream(spec: ModelSpec, files: Path) -> Backend:
    from gateway.engines.llm.upstream.backend import UpstreamBackend

    return UpstreamBackend(spec, read_options(UpstreamOptions, spec), files)


def _local(spec: ModelSpec, files: Path) -> Backend:
    options = read_options(Options, spec)
    name, model = _load(spec, options, find_weights(spec, files))
    try:
        words = LocalBackend(model, options, name, spec.properties.reasoning_effort)
    except ConfigError as error:
        raise ConfigError(f"row {spec.name}: {error.detail}") from None
    if options.places is None:
        return words
    from gateway.engines.place_finder import PlaceFinder

    return SeekingBackend(words, PlaceFinder(spec, files / options.places, options.places_threshold))


def _load(spec: ModelSpec, options: Options, weights: Weights) -> tuple[str, TokenModel]:
    """The library's name and the weights, loaded by it; `auto` takes OpenVINO where it can, transformers elsewhere."""
    obstacle = _obstacle(spec, weights)
    if options.backend == "openvino" or (options.backend == "auto" and obstacle is None):
        if obstacle is not None:
            raise ConfigError(f"row {spec.name}: options.backend: openvino cannot be used: {obstacle}")
        try:
            return _openvino(spec, options, weights)
        except AdapterMisfit as error:
            if options.backend == "openvino" or weights.kind != "gguf":
                raise ConfigError(f"row {spec.name}: {error.detail}") from None
            obstacle = error.detail
        except RuntimeError as error:
            if options.backend == "openvino" or weights.kind != "gguf":
                raise
            obstacle = f"it cannot read this file ({str(error).strip().splitlines()[-1][:200]})"
    if weights.kind == "openvino":
        raise ConfigError(f"row {spec.name}: source: is in OpenVINO's form, but {obstacle or 'options.backend is set'}")
    return _transformers(spec, options, weights, obstacle or "the row asks for it")


def _obstacle(spec: ModelSpec, weights: Weights) -> str | None:
    """Why OpenVINO is not for this row, if it is not."""
    if weights.kind == "safetensors":
        return "it reads GGUF and its own form, not safetensors"
    if spec.device.startswith("cuda"):
        return f"device is {spec.device}"
    if importlib.util.find_spec("openvino_genai") is None:
        return "openvino_genai is not installed"
    return None


def _openvino(spec: ModelSpec, options: Options, weights: Weights) -> tuple[str, TokenModel]:
    from gateway.engines.llm.openvino import OpenVinoModel

    logger.info("%s: backend openvino for %s weights", spec.name, weights.kind)
    return "openvino", OpenVinoModel(spec, options, weights)


def _transformers(spec: ModelSpec, options: Options, weights: Weights, reason: str) -> tuple[str, TokenModel]:
    from gateway.engines.llm.transformers import TransformersModel

    logger.info("%s: backend transformers for %s weights; not openvino: %s", spec.name, weights.kind, reason)
    return "transformers", TransformersModel(spec, options, weights)
