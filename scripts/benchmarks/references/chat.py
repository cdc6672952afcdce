"""OpenVINO GenAI's continuous batching called directly: prompts in, counted tokens out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import openvino_genai as genai

from gateway.config import ModelSpec
from gateway.engines.llm.conversion import converted
from scripts.benchmarks.references.peer import quiet_stdout, serve

CACHE_GIB = 2


class Direct:
    """One pipeline, fed by hand: no HTTP, no text made of the tokens, nothing between `step` and the next.

    Its settings are stated here and not taken from the engine, so that a setting that slows the engine down shows.
    """

    def __init__(self, spec: ModelSpec, gguf: Path) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GIB
        scheduler.max_num_seqs = spec.max_streams
        scheduler.enable_prefix_caching = False
        files = converted(gguf) or gguf
        self._tokenizer = genai.Tokenizer(files)
        properties = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": spec.threads}
        self._pipe = genai.ContinuousBatchingPipeline(files, self._tokenizer, scheduler, "CPU", **properties)
        self._next_id = 0

    def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Greedy answers to the `prompts`, at most `streams` at once, each of at most `tokens` tokens."""
        config = genai.GenerationConfig()
        config.max_new_tokens, config.do_sample = job["tokens"], False
        waiting = list(enumerate(job["prompts"]))
        inside: dict[int, tuple[float, Any]] = {}
        counts, firsts_s = [0] * len(waiting), [0.0] * len(waiting)
        started = time.perf_counter()
        while waiting or inside:
            while waiting and len(inside) < job["streams"]:
                index, prompt = waiting.pop(0)
                inside[index] = time.perf_counter(), self._admit(prompt, config)
            self._pipe.step()
            for index, (admitted, handle) in list(inside.items()):
                while handle.can_read():
                    counts[index] += sum(len(output.generated_ids) for output in handle.read().values())
                    firsts_s[index] = firsts_s[index] or time.perf_counter() - admitted
                if handle.get_status() != genai.GenerationStatus.RUNNING:
                    del inside[index]
        return {"seconds": time.perf_counter() - started, "tokens": counts, "firsts_s": firsts_s}

    def _admit(self, prompt: str, config: genai.GenerationConfig) -> Any:
        text = self._tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
        ids = self._tokenizer.encode(text, add_special_tokens=False).input_ids
        self._next_id += 1
        return self._pipe.add_request(self._next_id, ids, config)


def main(row: str, files: str) -> None:
    """Answer jobs with the row's weights."""
    lines = quiet_stdout()
    direct = Direct(ModelSpec.model_validate_json(row), Path(files))
    serve({"version": genai.__version__}, direct.answer, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
