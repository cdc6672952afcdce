"""Translation by M2M-100 and NLLB, which are told the target by the first token; knows no other task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.config import ConfigError, Frozen, ModelSpec
from gateway.engines.options import read_options
from gateway.engines.passes import TokenIds
from gateway.engines.seq2seq import Seq2Seq, Written
from gateway.engines.torch_engine import TorchEngine
from gateway.errors import BadInput
from gateway.tasks import Task, Usage
from gateway.tasks.translation import Translatable, Translated

LanguageToken = Callable[[str], int | None]


class Engine(TorchEngine):
    """As `M2M100ForConditionalGeneration.generate`; each input has languages of its own, whatever shares the batch."""

    def __init__(self, spec: ModelSpec, task: Task, files: Path) -> None:
        super().__init__(spec, task, files)
        read_options(Frozen, spec)
        self._seq2seq = Seq2Seq(files, self.precision, spec.context_window)
        self._tokenizer = self._seq2seq.tokenizer
        self._token = _language_tokens(self._tokenizer)

    def run(self, inputs: Sequence[Translatable]) -> Sequence[Any]:
        """One answer per input, or `BadInput` for a language the model lacks; text beyond the window is cut."""
        faults = [self._fault(input) for input in inputs]
        texts = [
            (index, text)
            for index, (input, fault) in enumerate(zip(inputs, faults, strict=True))
            if fault is None
            for text in input.passages()
        ]
        rows = [self._tokenize(inputs[index], text) for index, text in texts]
        targets = [self._token(inputs[index].directions()[1].code) or 0 for index, _ in texts]
        written: dict[int, list[tuple[TokenIds, Written]]] = {index: [] for index in range(len(inputs))}
        for (index, _), row, output in zip(texts, rows, self._seq2seq.write(rows, targets), strict=True):
            written[index].append((row, output))
        return [
            fault or input.answer(_translated(written[index]))
            for index, (input, fault) in enumerate(zip(inputs, faults, strict=True))
        ]

    def _fault(self, input: Translatable) -> BadInput | None:
        for direction in input.directions():
            if self._token(direction.code) is None:
                known = ", ".join(code for code in input.codes if self._token(code) is not None)
                listed = f"; it knows {known}" if known else ""
                return BadInput(f"'/{direction.field}': this model does not know {direction.code}{listed}")
        return None

    def _tokenize(self, input: Translatable, text: str) -> TokenIds:
        self._tokenizer.src_lang = input.directions()[0].code
        return self._seq2seq.tokenize([text])[0]


def _translated(written: Sequence[tuple[TokenIds, Written]]) -> Translated:
    prompt = sum(len(row) for row, _ in written)
    completion = sum(output.tokens for _, output in written)
    return Translated([output.text for _, output in written], Usage(prompt, completion))


def _language_tokens(tokenizer: Any) -> LanguageToken:
    """How a language's code becomes the token that stands for it; raises `ConfigError` if no language has one."""
    if hasattr(tokenizer, "lang_code_to_token"):
        tokens = tokenizer.lang_code_to_token
        return lambda code: tokenizer.get_lang_id(code) if code in tokens else None
    if tokenizer.convert_tokens_to_ids("eng_Latn") in (None, tokenizer.unk_token_id):
        raise ConfigError("tokenizer_config.json: the tokenizer of an M2M-100 or NLLB model is expected")

    def token(code: str) -> int | None:
        id: int | None = tokenizer.convert_tokens_to_ids(code)
        return None if id == tokenizer.unk_token_id else id

    return token
