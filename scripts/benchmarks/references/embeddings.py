"""sentence-transformers called directly, with the number type and threads that the row has by itself."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from gateway.config import ModelSpec
from gateway.engines.precision import choose, use_threads
from scripts.benchmarks.references.peer import quiet_stdout, serve


def main(row: str, files: str) -> None:
    """Encode the `texts` of each job in batches of 32."""
    lines = quiet_stdout()
    spec = ModelSpec.model_validate_json(row)
    threads, precision = use_threads(spec), choose(spec)
    model = SentenceTransformer(
        str(Path(files)),
        device=precision.device,
        local_files_only=True,
        model_kwargs={"dtype": precision.torch_dtype, "use_safetensors": True},
    )

    def work(job: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        vectors = model.encode(job["texts"], batch_size=32, show_progress_bar=False)
        return {"seconds": time.perf_counter() - started, "first": vectors[0].astype(float).tolist()}

    serve({"dtype": precision.dtype, "threads": threads, "device": precision.device}, work, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
