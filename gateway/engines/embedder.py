"""Text embeddings from a sentence-transformers folder; knows no other task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from gateway.config import Frozen, ModelSpec
from gateway.engines.encoding import Encoder
from gateway.engines.options import read_options
from gateway.engines.passes import TokenIds
from gateway.engines.torch_engine import TorchEngine
from gateway.errors import BadInput, GatewayError, InputTooLong
from gateway.tasks import Task, Usage
from gateway.tasks.text_embeddings import Embedded, EmbeddingsInput


class Options(Frozen):
    """`normalize`: whether vectors have length 1; absent, as the folder's modules.json says."""

    normalize: bool | None = None


class Engine(TorchEngine):
    """One vector per text; the texts of all inputs share passes, whatever their lengths, prompts and poolings."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        options = read_options(Options, spec)
        self._encoder = Encoder(files, self.precision, spec.context_window, options.normalize)
        self.fill_passes(pads=self._encoder.pads)

    def run(self, inputs: Sequence[EmbeddingsInput]) -> Sequence[Any]:
        """One output per input, in the form it asks for, or `InputTooLong`; else text beyond the window is cut."""
        texts = [self._prompted(input) for input in inputs]
        rows = _divide(self._encoder.tokenize(list(chain.from_iterable(texts))), texts)
        outputs: list[Any] = [self._fault(*parts) for parts in zip(inputs, texts, rows, strict=True)]
        sound = [index for index, fault in enumerate(outputs) if fault is None]
        if sound:
            for index, embedded in zip(sound, self._embed([(inputs[i], rows[i]) for i in sound]), strict=True):
                outputs[index] = inputs[index].answer(embedded)
        return outputs

    def _prompted(self, input: EmbeddingsInput) -> list[str]:
        """The texts of an input, each behind its prompt."""
        texts = []
        for passages in input.passages():
            prompt = self._encoder.prompt(passages.role) if passages.prompt is None else passages.prompt
            texts += [prompt + text for text in passages.texts]
        return texts

    def _fault(self, input: EmbeddingsInput, texts: Sequence[str], rows: Sequence[TokenIds]) -> GatewayError | None:
        """The error if a text has no token at all, or if the input wants none cut and one is beyond the window."""
        if not all(rows):
            return BadInput("'/text' must not be empty: this model puts nothing around a text")
        if not input.is_strict():
            return None
        window = self._encoder.window
        # Only rows that fill the window can have been cut.
        full = [text for text, row in zip(texts, rows, strict=True) if len(row) >= window]
        longest = max(map(self._encoder.count_tokens, full), default=0)
        if longest <= window:
            return None
        return InputTooLong(f"Max context reached {longest} tokens but model supports only {window}")

    def _embed(self, wanted: Sequence[tuple[EmbeddingsInput, Sequence[TokenIds]]]) -> Iterator[Embedded]:
        """What the inputs' rows mean, all of them in shared passes."""
        how = [input.how() or self._encoder.pooling for input, _ in wanted]
        pooling = [kind for kind, (_, rows) in zip(how, wanted, strict=True) for _ in rows]
        vectors = self._encoder.encode([row for _, rows in wanted for row in rows], pooling)
        start = 0
        for kind, (_, rows) in zip(how, wanted, strict=True):
            part = vectors[start : start + len(rows)]
            start += len(rows)
            yield Embedded(data=part, pooling=kind, usage=Usage(prompt_tokens=sum(map(len, rows))))


def _divide(rows: Sequence[TokenIds], parts: Sequence[Sequence[object]]) -> list[Sequence[TokenIds]]:
    """`rows` in runs as long as `parts` are."""
    ends = list(accumulate(map(len, parts)))
    return [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]
