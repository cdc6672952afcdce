"""llama.cpp's own HTTP server (xllamacpp) on one GGUF file, with as many slots as the benchmark has streams."""

from __future__ import annotations

import sys
import time

import xllamacpp

SLOT_TOKENS = 1024


def main(gguf: str, slots: str, threads: str) -> None:
    """Serve on a free port, said on standard error, until killed."""
    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_parallel = int(slots)
    params.n_ctx = SLOT_TOKENS * int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    print(f"system: {xllamacpp.get_system_info().strip()}", file=sys.stderr, flush=True)
    print(f"listens on {server.listening_address}", file=sys.stderr, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
