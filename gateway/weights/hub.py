"""Weights from a Hugging Face hub or a mirror of one; knows nothing of the store they end up in."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gateway.weights.content import files_below
from gateway.weights.errors import PullFailed, WeightsRefused
from gateway.weights.source import Fetched, Job, select

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


@dataclass(frozen=True)
class HubSource:
    """One revision of a repository, or one file of it. The library's own settings apply (HF_ENDPOINT, HF_TOKEN)."""

    text: str
    repo: str
    revision: str
    path: str

    def fetch(self, job: Job) -> Fetched:
        """Fetch the selected files one by one, going on where an earlier try broke off; raises `PullFailed`."""
        try:
            return self._fetch(job)
        except (PullFailed, WeightsRefused):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES):
                raise
            raise PullFailed(f"{job.model}: {self._explain(error)}") from error

    def _fetch(self, job: Job) -> Fetched:
        from huggingface_hub import HfApi

        info = HfApi().model_info(self.repo, revision=self.revision, files_metadata=True)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        names = select(siblings, self.path, job.globs, f"{self.repo}@{self.revision}")
        job.admit(names)
        for name, path in files_below(job.files).items():
            if name not in names:  # an earlier try saw another state of a revision that moves
                path.unlink()
        revision = info.sha or self.revision
        total = sum(siblings[name].size or 0 for name in names)
        job.need(total - job.held_bytes())
        job.progress.begin(job.model, job.purpose, total)
        try:
            for name in names:
                self._fetch_file(job, siblings[name], revision)
        finally:
            job.progress.end()
        return Fetched(revision)

    def _fetch_file(self, job: Job, sibling: RepoSibling, revision: str) -> None:
        target = job.files / sibling.rfilename
        bar = _FileBar(job)
        if target.is_file() and _is_intact(target, sibling):
            bar.update(target.stat().st_size)
            return
        part = job.partial / hashlib.sha256(f"{revision}/{sibling.rfilename}".encode()).hexdigest()
        self._transfer(part, sibling, revision, bar)
        if not _is_intact(part, sibling):
            part.unlink()
            raise PullFailed(
                f"{job.model}: {sibling.rfilename} arrived damaged (its hash is not the one the hub lists): pull again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)

    def _transfer(self, part: Path, sibling: RepoSibling, revision: str, bar: _FileBar) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(self.repo, sibling.rfilename, revision=revision)
        # Compressed bytes cannot be resumed by their offset.
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        while True:
            with part.open("ab") as file:
                held = file.tell()
                try:
                    http_get(
                        url,
                        file,
                        resume_size=held,
                        headers=headers,
                        expected_size=sibling.size,
                        tqdm_class=bar,  # type: ignore[arg-type]
                    )
                    return
                except Exception:
                    # A broken connection that brought something is resumed; one that brought nothing is not.
                    if file.tell() <= held:
                        raise

    def _explain(self, error: Exception) -> str:
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

        if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError):
            return (
                f"the hub does not show {self.text.removeprefix('hf:')}: correct the row's source, "
                "or set HF_TOKEN if the repository is private or gated"
            )
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return (
            f"the hub could not be read ({type(error).__name__}: {reason}): check the network and HF_ENDPOINT, "
            "then pull again; what has arrived is kept"
        )


class _FileBar:
    """Stands where the hub library expects a tqdm class and its instances; one file's bytes, never counted twice."""

    def __init__(self, job: Job) -> None:
        self._progress = job.progress
        self._position = 0

    def __call__(self, *, initial: int = 0, **_: Any) -> _FileBar:
        self.update(initial - self._position)
        return self

    def __enter__(self) -> _FileBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def update(self, size_bytes: int) -> None:
        """So many bytes more."""
        self._position += size_bytes
        self._progress.advance(size_bytes)


def _is_intact(path: Path, sibling: RepoSibling) -> bool:
    """Whether the file has the hash the hub lists: SHA-256 for large files, git's blob id for others."""
    if sibling.size is not None and path.stat().st_size != sibling.size:
        return False
    with path.open("rb") as file:
        if sibling.lfs is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == sibling.lfs.sha256
        if sibling.blob_id is None:
            return True
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest() == sibling.blob_id
