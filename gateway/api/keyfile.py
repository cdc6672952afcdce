"""The file of API keys: their hashes and what each may do, made and revoked; knows no request."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from filelock import FileLock

from gateway.api import limits
from gateway.api.access import ANYONE, Key
from gateway.config import ConfigError, Settings

MAX_NAME_CHARACTERS = 100
Stamp = tuple[int, int, int]


class _File(msgspec.Struct):
    keys: list[Key] = msgspec.field(default_factory=list)


def sha256(key: bytes) -> str:
    """A key's hash. Keys carry 256 random bits, so there is nothing to guess and a slow password hash adds nothing."""
    return hashlib.sha256(key).hexdigest()


class KeyFile:
    """Keys on disk: one writer at a time, and nobody ever reads half a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: Settings) -> KeyFile:
        """The file that `settings` name; it need not exist."""
        return cls(settings.keys_file or settings.home / "keys.json")

    def stamp(self) -> Stamp | None:
        """What changes whenever the file does, None while there is none; raises `ConfigError` if nobody can tell."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"keys file {self.path}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def entries(self) -> list[Key]:
        """The rows of the file; raises `ConfigError`."""
        try:
            keys = msgspec.json.decode(self.path.read_bytes(), type=_File).keys
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(f"keys file {self.path}: {error}") from error
        for key in keys:
            limits.check(key, f"keys file {self.path}")
        return keys

    def create(self, name: str | None = None, like: Key = ANYONE) -> str:
        """A new key, whose hash is stored under `name`; raises `ConfigError` for a name that is taken or no name.

        What it may do is that which `like` may.
        """
        if name is not None and not (0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()):
            raise ConfigError(f"a key's name has 1 to {MAX_NAME_CHARACTERS} printable characters")
        key = "gw_" + secrets.token_urlsafe(32)
        with self._locked():
            keys = self.entries()
            taken = {row.name for row in keys}
            chosen = name or next(free for n in range(1, len(keys) + 2) if (free := f"key-{n}") not in taken)
            if chosen in taken:
                raise ConfigError(f"there is already a key named {chosen}")
            created_at = datetime.now(UTC).isoformat(timespec="seconds")
            row = msgspec.structs.replace(like, name=chosen, sha256=sha256(key.encode()), created_at=created_at)
            self._write([*keys, row])
        return key

    def entry(self, name: str) -> Key:
        """The row of that name; raises `ConfigError` if there is none."""
        for key in self.entries():
            if key.name == name:
                return key
        raise ConfigError(f"no key is named {name}; see `gateway keys list`")

    def revoke(self, name: str) -> None:
        """Forget the key stored under `name`; raises `ConfigError` if there is none."""
        with self._locked():
            revoked = self.entry(name)
            self._write([key for key in self.entries() if key.name != revoked.name])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the file; what keeps it from being written is a `ConfigError`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(self.path.name + ".lock"), mode=0o600):
                yield
        except OSError as error:
            raise ConfigError(
                f"keys file {self.path} cannot be written: {error.strerror}; make room, correct its permissions, or "
                "name another with --keys-file"
            ) from error

    def _write(self, keys: list[Key]) -> None:
        """Replace the file in one step, readable by its owner alone."""
        text = msgspec.json.format(msgspec.json.encode(_File(keys)))
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(text + b"\n")
                out.flush()
                os.fsync(out.fileno())
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
