"""Only the matrix products that an encoder of BERT's family makes of texts: what no server can be faster than.

They are taken by OpenVINO, whose products were the fastest at hand, over all texts at once and without padding; the
numbers are random.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import openvino
from openvino import Model, Type
from openvino import opset13 as op
from transformers import AutoConfig, AutoTokenizer

from gateway.config import ModelSpec
from gateway.engines.compiled_bert import HINTS
from gateway.engines.precision import choose, use_threads
from scripts.benchmarks.references.peer import quiet_stdout, serve

PASS_TOKENS = 2048


def _products(config: Any) -> Model:
    """One product after the other: four of width by width a layer, and two with the inner width."""
    states = inputs = op.parameter([-1, config.hidden_size], Type.f32, "states")
    width, inner = config.hidden_size, config.intermediate_size
    chance = np.random.default_rng(0)
    for rows, columns in [*[(width, width)] * 4, (width, inner), (inner, width)] * config.num_hidden_layers:
        matrix = chance.standard_normal((rows, columns), np.float32) / np.sqrt(np.float32(rows))
        states = op.matmul(states, op.constant(matrix), transpose_a=False, transpose_b=False)
    return Model([op.result(states)], [inputs], "products")


def _tokens(tokenizer: Any, inputs: list[Any]) -> int:
    """Of all texts, or of all pairs of a query and a context."""
    pairs = [(one["query"], context["text"]) for one in inputs if isinstance(one, dict) for context in one["contexts"]]
    texts = [list(side) for side in zip(*pairs, strict=True)] if pairs else [inputs]
    encoded = tokenizer(*texts, truncation=True)
    return sum(map(len, encoded["input_ids"]))


def main(row: str, files: str) -> None:
    """Answer jobs of `inputs` with the seconds that their products take."""
    lines = quiet_stdout()
    spec = ModelSpec.model_validate_json(row)
    threads, precision = use_threads(spec), choose(spec)
    tokenizer = AutoTokenizer.from_pretrained(files, local_files_only=True)
    config = AutoConfig.from_pretrained(files, local_files_only=True)
    settings = {"INFERENCE_PRECISION_HINT": HINTS[precision.dtype], "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(_products(config), "CPU", settings).create_infer_request()
    states = np.ones((PASS_TOKENS, config.hidden_size), np.float32)
    request.infer([states])

    def work(job: dict[str, Any]) -> dict[str, Any]:
        passes = _tokens(tokenizer, job["inputs"]) / PASS_TOKENS
        started = time.perf_counter()
        whole = max(1, round(passes))
        for _ in range(whole):
            request.infer([states], share_inputs=True, share_outputs=True)
        return {"seconds": (time.perf_counter() - started) * passes / whole}

    serve({"dtype": precision.dtype, "threads": threads}, work, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
