"""Translation by M2M-100 and its kin, which are told the target by the first token; knows no other task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.config import ConfigError, Frozen, ModelSpec
from gateway.engines.base import Engine as Base
from gateway.engines.options import read_options
from gateway.engines.packing import TokenIds
from gateway.engines.precision import choose, use_threads
from gateway.engines.seq2seq import Seq2Seq
from gateway.errors import BadInput
from gateway.tasks import Task, Usage
from gateway.tasks.translation import TranslationInput, TranslationOutput


class Engine(Base):
    """As `M2M100ForConditionalGeneration.generate`; each input has languages of its own, whatever shares the batch."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        read_options(Frozen, spec)
        use_threads(spec)
        precision = choose(spec)
        self.device = precision.device
        self._seq2seq = Seq2Seq(files, precision, spec.context_window)
        self._tokenizer = self._seq2seq.tokenizer
        if not hasattr(self._tokenizer, "lang_code_to_token"):
            raise ConfigError("tokenizer_config.json: the tokenizer of an M2M-100 model is expected")

    def run(self, inputs: Sequence[TranslationInput]) -> Sequence[TranslationOutput | BadInput]:
        """One translation per input, or `BadInput` for a language the model lacks; text beyond the window is cut."""
        outputs: list[TranslationOutput | BadInput | None] = [self._fault(input) for input in inputs]
        sound = [index for index, fault in enumerate(outputs) if fault is None]
        rows = [self._tokenize(inputs[index]) for index in sound]
        targets = [self._tokenizer.get_lang_id(inputs[index].target_lang) for index in sound]
        for index, row, written in zip(sound, rows, self._seq2seq.write(rows, targets), strict=True):
            usage = Usage(prompt_tokens=len(row), completion_tokens=written.tokens)
            outputs[index] = TranslationOutput(translated_text=written.text, usage=usage)
        return [output for output in outputs if output is not None]

    def _fault(self, input: TranslationInput) -> BadInput | None:
        for field in ("source_lang", "target_lang"):
            code = getattr(input, field)
            if code not in self._tokenizer.lang_code_to_token:
                return BadInput(f"'/{field}': this model does not know {code}")
        return None

    def _tokenize(self, input: TranslationInput) -> TokenIds:
        self._tokenizer.src_lang = input.source_lang
        return self._seq2seq.tokenize([input.text])[0]
