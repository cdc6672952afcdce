"""The accepted API keys, in settings and in a file, with what each may do; knows no HTTP."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import msgspec
import structlog
from filelock import FileLock

from gateway.api import limits
from gateway.api.access import ANYONE, Key
from gateway.config import ConfigError, Settings
from gateway.tasks.cost import Unit

REFRESH_S = 1.0
_HASH = re.compile(r"[0-9a-f]{64}")
_log = structlog.get_logger()


class _File(msgspec.Struct):
    keys: list[Key] = msgspec.field(default_factory=list)


def sha256(key: bytes) -> str:
    """A key's hash. Keys carry 256 random bits, so there is nothing to guess and a slow password hash adds nothing."""
    return hashlib.sha256(key).hexdigest()


class Keyring:
    """Tells known keys from unknown ones; follows changes of its file within `REFRESH_S`.

    It is `closed` from the moment a key or a keys file was first seen: removing the last key or the file of a
    running gateway shuts everybody out, it does not let everybody in. `anyone` stands for who comes until then.
    """

    def __init__(
        self,
        path: Path,
        fixed: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        rate_limits: Mapping[str, int] = MappingProxyType({}),
        max_cost: Mapping[Unit, int] = MappingProxyType({}),
    ) -> None:
        """Hashes in `fixed` come from settings, and so do the limits, which count where a key has none of its own.

        Raises `ConfigError` for a hash that is none, or for a bad file.
        """
        for number, value in enumerate(fixed, 1):
            if not _HASH.fullmatch(value):
                raise ConfigError(f"GATEWAY_KEY_HASHES: entry {number} is not a SHA-256 in hexadecimal digits")
        self.path = path
        self._rate_limits = rate_limits
        self._max_cost = max_cost
        self._fixed = tuple(Key(f"GATEWAY_KEY_HASHES {number}", value) for number, value in enumerate(fixed, 1))
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self.anyone = self._settled(ANYONE)
        self._stamp: tuple[int, int, int] | None = None
        self._checked = clock()
        self.closed = bool(fixed)
        self._reload(self._stat())

    @classmethod
    def of(cls, settings: Settings) -> Keyring:
        """The keyring that `settings` describe; raises `ConfigError`."""
        return cls(
            settings.keys_file or settings.home / "keys.json",
            settings.key_hashes,
            rate_limits=limits.rate_limits(settings.rate_limits, "GATEWAY_RATE_LIMITS"),
            max_cost=limits.max_cost(settings.max_cost, "GATEWAY_MAX_COST"),
        )

    def find(self, key: bytes) -> Key | None:
        """What is known of `key`, its limits settled, or None; in a time that does not tell how nearly it is known."""
        digest, found = sha256(key), None
        for known in self._keys:
            if hmac.compare_digest(digest, known.sha256):
                found = known
        return found

    def has_keys(self) -> bool:
        """Whether anybody can get in with a key."""
        return bool(self._keys)

    def refresh(self) -> None:
        """Read the file again if it has changed; looks at most every `REFRESH_S`.

        A file that cannot be read leaves the keys as they were and is reported in the log.
        """
        now = self._clock()
        if now - self._checked < REFRESH_S:
            return
        self._checked = now
        stamp = self._stat()
        if stamp == self._stamp:
            return
        try:
            self._reload(stamp)
        except ConfigError as error:
            self._stamp = stamp
            _log.error("keys file not read, keys unchanged", reason=error.detail)

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
        """A new key, whose hash is stored under `name`; raises `ConfigError` if the name is taken.

        What it may do is that which `like` may.
        """
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

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _reload(self, stamp: tuple[int, int, int] | None) -> None:
        self._keys = tuple(self._settled(key) for key in (*self._fixed, *self.entries()))
        self._stamp = stamp
        self.closed = self.closed or stamp is not None

    def _settled(self, key: Key) -> Key:
        """`key` with the limits that count: one for each task and unit that has any."""
        return msgspec.structs.replace(
            key,
            rate_limits=limits.settled(key.rate_limits, self._rate_limits, limits.TASK_NAMES),
            max_cost=limits.settled(key.max_cost, self._max_cost, limits.UNITS),
        )

    def _locked(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(self.path.name + ".lock"), mode=0o600)

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
        self._reload(self._stat())
