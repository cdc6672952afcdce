"""Keeps a GGUF's converted form, so that later starts skip the conversion; knows no generation."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import openvino
import openvino_genai
from gguf import GGUFReader

from gateway.config import MIB
from gateway.engines.llm.exact_groups import make_exact
from gateway.engines.llm.facts import gguf_facts
from gateway.engines.llm.fusion import fuse
from gateway.engines.llm.group_minima import GroupMinima
from gateway.engines.llm.openable import openable
from gateway.engines.llm.product_names import name_products
from gateway.weights.shelf import converted_folder

ABANDONED_S = 3600.0
# Another version of the gateway may run beside, or be gone back to: so long after its last load its form stays.
UNUSED_S = 7 * 24 * 3600.0
UNFINISHED = "making-"
# Of a graph whose weights may be stored in twice as many bits: where a step has little to read, to compute less pays.
SMALL_BYTES = 128 * MIB
# Of what is made here besides the library's own form: another number has every file converted anew.
FORM = 5
logger = logging.getLogger(__name__)


def converted(gguf: Path) -> Path | None:
    """The folder of `gguf`'s converted form, made now if it is not there; None if it cannot be kept.

    The name tells file, size, time and OpenVINO's version, so another file under the same name is converted
    anew, as it is when `FORM` changes; then the forms that nobody uses any more go. Workers that convert at once each
    do so in a folder of their own; the first to finish is kept.
    """
    stat = gguf.stat()
    file = f"{gguf.stem}-{stat.st_size}-{stat.st_mtime_ns}"
    kept = converted_folder(gguf) / f"{file}-{version('openvino-genai')}-{FORM}"
    if not kept.is_dir():
        try:
            _convert(gguf, kept)
        except (OSError, RuntimeError) as error:
            logger.warning("the converted form of %s is not kept: %s", gguf.name, error)
            return None
    with suppress(OSError):
        os.utime(kept)
    _discard_others(gguf, file, kept)
    return kept


def _convert(gguf: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    _sweep(kept.parent)
    making = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=kept.parent))
    try:
        convert(gguf, making)
        making.chmod(0o755)
        making.replace(kept)
    except OSError:
        if not kept.is_dir():
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _discard_others(gguf: Path, file: str, kept: Path) -> None:
    """Delete the other forms of `gguf`: of what the file was, and of what it is those that were long not used.

    Each leaves by one rename, so that who reads meanwhile finds it whole or not at all, and a worker that runs on it
    has it mapped into memory: it stays until that worker ends.
    """
    form = re.compile(rf"({re.escape(gguf.stem)}-\d+-\d+)-[^-]+(-\d+)?")
    for other in kept.parent.iterdir():
        found = form.fullmatch(other.name)
        if other != kept and found and not (found[1] == file and _is_used(other)):
            leaving = other.with_name(UNFINISHED + other.name)
            with suppress(OSError):
                other.rename(leaving)
            shutil.rmtree(leaving, ignore_errors=True)


def _is_used(form: Path) -> bool:
    """Whether a worker has begun to load it lately, by its time."""
    try:
        return time.time() - form.stat().st_mtime < UNUSED_S
    except FileNotFoundError:
        return False


def convert(gguf: Path, folder: Path) -> None:
    """Write OpenVINO's form of `gguf` into `folder`; raises `OSError`, and `RuntimeError` if it cannot be read.

    The library writes beside the file it reads, so it is given one there.
    """
    own = openable(gguf, folder)
    tokenizer = openvino_genai.Tokenizer(own, enable_save_ov_model=True)
    openvino_genai.ContinuousBatchingPipeline(
        own, tokenizer, openvino_genai.SchedulerConfig(), "CPU", enable_save_ov_model=True
    )
    own.unlink()
    for name in ("openvino_model", "openvino_tokenizer", "openvino_detokenizer"):
        if not all((folder / f"{name}.{suffix}").is_file() for suffix in ("xml", "bin")):
            raise OSError(f"{name} was not written")
    reader = GGUFReader(gguf)  # takes seconds: the vocabulary is walked
    _improve(folder, reader)
    gguf_facts(reader).save(folder)


def _improve(folder: Path, reader: GGUFReader) -> None:
    """Written beside what was read, whose weights are mapped into memory meanwhile, and then put in its place."""
    model = openvino.Core().read_model(folder / "openvino_model.xml")
    if name_products(model):
        doubled = (folder / "openvino_model.bin").stat().st_size <= SMALL_BYTES
        exact = make_exact(model, GroupMinima(reader), doubled=doubled)
        logger.info("products whose groups begin where the file says: %d", exact)
    joined = fuse(model)
    openvino.save_model(model, folder / "fused.xml", compress_to_fp16=False)
    del model
    for suffix in ("xml", "bin"):
        (folder / f"fused.{suffix}").replace(folder / f"openvino_model.{suffix}")
    logger.info("joined matrix products that read the same input: %d", joined)


def _sweep(folder: Path) -> None:
    """Delete what killed workers left."""
    for making in folder.glob(f"{UNFINISHED}*"):
        if time.time() - making.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(making, ignore_errors=True)
