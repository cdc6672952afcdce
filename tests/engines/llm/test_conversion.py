"""Which converted forms of a GGUF there are, and which stay on disk."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.engines.llm.conversion import UNUSED_S, converted
from tests import tiny_gguf


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in a snapshot of a store."""
    folder = tmp_path_factory.mktemp("store") / "snapshots" / "tiny" / "package"
    folder.mkdir(parents=True)
    return tiny_gguf.chat_gguf(folder / "model.Q4.gguf")


def test_forms_go_that_are_of_another_file_or_were_long_not_used(file: Path) -> None:
    stat, forms = file.stat(), file.parents[3] / "converted" / "tiny"
    own, unused = f"model.Q4-{stat.st_size}-{stat.st_mtime_ns}", time.time() - UNUSED_S - 1
    of_other_files = [f"model.Q4-7-{stat.st_mtime_ns}-1.0-2", f"model.Q4-{stat.st_size}-8-2026.4.1.0-2"]
    of_other_versions = [f"{own}-2026.4.1.0", f"{own}-2026.4.1.0-1", f"{own}-2025.1.0.0-2"]
    others = ["model.Q4-chat-7-8-2026.4.1.0-2", "modelxQ4-7-8-2026.4.1.0-2", "making-abc", "notes"]
    for name in of_other_files + of_other_versions + others:
        (forms / name).mkdir(parents=True)
        (forms / name / "openvino_model.bin").write_bytes(b"weights")
    for name in [*of_other_versions[:1], "notes"]:
        os.utime(forms / name, (unused, unused))
    with (forms / of_other_versions[0] / "openvino_model.bin").open("rb") as in_use:
        kept = converted(file)
        assert kept is not None
        assert {folder.name for folder in forms.iterdir()} == {kept.name, *of_other_versions[1:], *others}
        assert in_use.read() == b"weights"


def test_a_form_that_is_there_is_used_and_stays_in_use(file: Path) -> None:
    kept = converted(file)
    assert kept is not None
    before, unused = kept.with_name(f"{kept.name}9"), time.time() - UNUSED_S - 1
    before.mkdir()
    for form in (kept, before):
        os.utime(form, (unused, unused))
    weights = (kept / "openvino_model.bin").stat()
    assert converted(file) == kept
    assert (kept / "openvino_model.bin").stat() == weights
    assert kept.stat().st_mtime > unused
    assert not before.exists()


def test_workers_that_convert_at_once_keep_one_form_and_leave_nothing(smollm_file: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "smollm2"
    (snapshot / "package").mkdir(parents=True)
    link = snapshot / "package" / "model.gguf"
    link.symlink_to(smollm_file)
    with ThreadPoolExecutor(2) as workers:
        one, other = workers.map(converted, [link, link])
    assert one is not None
    assert one == other
    assert list((tmp_path / "converted" / "smollm2").iterdir()) == [one]
    assert not list(one.glob("*.gguf"))
    assert [path for path in snapshot.rglob("*") if path.is_file()] == [link]
