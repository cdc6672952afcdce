"""Summarization by BART and its kin; knows no other task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from gateway.config import Frozen, ModelSpec
from gateway.engines.options import read_options
from gateway.engines.seq2seq import Seq2Seq, Written
from gateway.engines.torch_engine import TorchEngine
from gateway.tasks import Task, Usage
from gateway.tasks.summarization import SummarizationInput, SummarizationOutput

# The token that starts the decoder counts as one of `max_length`, so one more is the least that can be written.
LEAST = 2


class Engine(TorchEngine):
    """As `BartForConditionalGeneration.generate` with the input's `max_length`; inputs of one length share passes."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        read_options(Frozen, spec)
        self._seq2seq = Seq2Seq(files, self.precision, spec.context_window)

    def run(self, inputs: Sequence[SummarizationInput]) -> Sequence[SummarizationOutput]:
        """One summary per input; text beyond the window is cut."""
        rows = self._seq2seq.tokenize([input.input_text for input in inputs])
        alike: dict[int, list[int]] = defaultdict(list)
        for index, input in enumerate(inputs):
            alike[min(max(input.max_length, LEAST), self._seq2seq.positions)].append(index)
        written: dict[int, Written] = {}
        for max_length, group in alike.items():
            # A model's least length would forbid the end of the text beyond the caller's most.
            min_length = min(self._seq2seq.settings.min_length or 0, max_length)
            texts = self._seq2seq.write([rows[i] for i in group], max_length=max_length, min_length=min_length)
            written |= zip(group, texts, strict=True)
        return [
            SummarizationOutput(
                summary=written[index].text.strip(),
                usage=Usage(prompt_tokens=len(row), completion_tokens=written[index].tokens),
            )
            for index, row in enumerate(rows)
        ]
