"""faster-whisper called directly, with the number format, threads and decoding options of the gateway's engine."""

from __future__ import annotations

import base64
import io
import sys
import time
from typing import Any

from faster_whisper import WhisperModel

from gateway.tasks.speech_recognition import Decoding
from scripts.benchmarks.references.peer import quiet_stdout, serve


def main(files: str, compute_type: str, threads: str) -> None:
    """Transcribe the base64 `clips` of each job one after the other."""
    lines = quiet_stdout()
    model = WhisperModel(
        files, device="cpu", compute_type=compute_type, cpu_threads=int(threads), local_files_only=True
    )
    options = Decoding(language="en").model_dump()

    def work(job: dict[str, Any]) -> dict[str, Any]:
        clips = [base64.b64decode(clip) for clip in job["clips"]]
        audio_s, texts = 0.0, []
        started = time.perf_counter()
        for clip in clips:
            segments, info = model.transcribe(io.BytesIO(clip), word_timestamps=True, **options)
            texts.append("".join(segment.text for segment in segments).strip())
            audio_s += info.duration
        return {"seconds": time.perf_counter() - started, "audio_s": audio_s, "texts": texts}

    serve({"compute_type": model.model.compute_type, "threads": int(threads)}, work, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
