"""Text embeddings from a sentence-transformers folder; knows no other task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from gateway.config import Frozen, ModelSpec
from gateway.engines.base import Engine as Base
from gateway.engines.encoding import Encoder
from gateway.engines.options import read_options
from gateway.engines.precision import choose, use_threads
from gateway.tasks import Task, Usage
from gateway.tasks.text_embeddings import TextEmbeddingsInput, TextEmbeddingsOutput


class Options(Frozen):
    """`normalize`: whether vectors have length 1; absent, as the folder's modules.json says."""

    normalize: bool | None = None


class Engine(Base):
    """One vector per text; the texts of all inputs share passes, whatever their lengths and poolings."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        options = read_options(Options, spec)
        use_threads(spec)
        precision = choose(spec)
        self.device = precision.device
        self._encoder = Encoder(files, precision, spec.context_window, options.normalize)

    def run(self, inputs: Sequence[TextEmbeddingsInput]) -> Sequence[TextEmbeddingsOutput]:
        """Vectors and token counts, one output per input; text beyond the window does not count."""
        rows = self._encoder.tokenize([text for input in inputs for text in input.text])
        vectors = self._encoder.encode(rows, [input.pooling for input in inputs for _ in input.text])
        ends = list(itertools.accumulate(len(input.text) for input in inputs))
        return [
            TextEmbeddingsOutput(
                shape=[end - start, vectors.shape[1]],
                data=vectors[start:end],
                pooling=input.pooling,
                usage=Usage(prompt_tokens=sum(map(len, rows[start:end]))),
            )
            for input, start, end in zip(inputs, [0, *ends], ends, strict=False)
        ]
