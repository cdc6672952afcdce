"""Folders for temporary files: those in use are left alone, those of dead processes are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.runtime.scratch import Scratch


def test_each_worker_has_its_own_and_it_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    first, second = Scratch(tmp_path / "run" / "scratch"), Scratch(tmp_path / "run" / "scratch")
    assert first.path != second.path
    (first.path / "deep").mkdir()
    (first.path / "deep" / "file").touch()
    first.remove()
    assert not first.path.exists()
    assert second.path.is_dir()
    second.remove()


def test_what_a_dead_process_left_goes_when_the_next_folder_is_made(tmp_path: Path) -> None:
    code = f"from gateway.runtime.scratch import *; (Scratch(Path({str(tmp_path)!r})).path / 'file').touch()"
    subprocess.run([sys.executable, "-c", code], check=True)
    (left,) = tmp_path.iterdir()
    used = Scratch(tmp_path)
    assert list(tmp_path.iterdir()) == [used.path]
    assert left != used.path
    used.remove()


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    Scratch(tmp_path).remove()
    assert os.listdir("/proc/self/fd") == before


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    assert (tmp_path / "scratch").stat().st_mode & 0o077 == 0
    assert scratch.path.stat().st_mode & 0o077 == 0
    scratch.remove()


def test_a_place_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Scratch(tmp_path / "file")
