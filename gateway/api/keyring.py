"""The accepted API keys, in settings and in a file, with what each may do; knows no HTTP."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
import structlog

from gateway.api import limits
from gateway.api.access import ANYONE, Key
from gateway.api.keyfile import KeyFile, Stamp, sha256
from gateway.config import ConfigError, Settings
from gateway.tasks.cost import Unit

REFRESH_S = 1.0
_HASH = re.compile(r"[0-9a-f]{64}")
_log = structlog.get_logger()


class Keyring:
    """Tells known keys from unknown ones; follows changes of its file within `REFRESH_S`.

    It is `closed` from the moment a key or a keys file was first seen: removing the last key or the file of a
    running gateway shuts everybody out, it does not let everybody in. `anyone` stands for who comes until then.
    """

    def __init__(
        self,
        file: KeyFile,
        fixed: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        rate_limits: Mapping[str, int] = MappingProxyType({}),
        max_cost: Mapping[Unit, int] = MappingProxyType({}),
        max_sessions: int | None = None,
    ) -> None:
        """Hashes in `fixed` come from settings, and so do the limits, which count where a key has none of its own.

        Raises `ConfigError` for a hash that is none, or for a bad file.
        """
        for number, value in enumerate(fixed, 1):
            if not _HASH.fullmatch(value):
                raise ConfigError(f"GATEWAY_KEY_HASHES: entry {number} is not a SHA-256 in hexadecimal digits")
        self.file = file
        self._rate_limits = rate_limits
        self._max_cost = max_cost
        self._max_sessions = max_sessions
        self._fixed = tuple(Key(f"GATEWAY_KEY_HASHES {number}", value) for number, value in enumerate(fixed, 1))
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        # Who come without keys are one caller, with nobody to take a share from.
        self.anyone = self._settled(msgspec.structs.replace(ANYONE, max_sessions=0))
        self._stamp: Stamp | None = None
        self._checked = clock()
        self.closed = bool(fixed)
        self._reload(self.file.stamp())

    @classmethod
    def of(cls, settings: Settings) -> Keyring:
        """The keyring that `settings` describe; raises `ConfigError`."""
        return cls(
            KeyFile.of(settings),
            settings.key_hashes,
            rate_limits=limits.rate_limits(settings.rate_limits, "GATEWAY_RATE_LIMITS"),
            max_cost=limits.max_cost(settings.max_cost, "GATEWAY_MAX_COST"),
            max_sessions=settings.max_sessions_per_key,
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
        stamp = self._stamp
        try:
            stamp = self.file.stamp()
            if stamp != self._stamp:
                self._reload(stamp)
        except ConfigError as error:
            self._stamp = stamp
            _log.error("keys file not read, keys unchanged", reason=error.detail)

    def _reload(self, stamp: Stamp | None) -> None:
        self._keys = tuple(self._settled(key) for key in (*self._fixed, *self.file.entries()))
        self._stamp = stamp
        self.closed = self.closed or stamp is not None

    def _settled(self, key: Key) -> Key:
        """`key` with the limits that count: one for each task and unit that has any, and that of sessions."""
        return msgspec.structs.replace(
            key,
            rate_limits=limits.settled(key.rate_limits, self._rate_limits, limits.TASK_NAMES),
            max_cost=limits.settled(key.max_cost, self._max_cost, limits.UNITS),
            max_sessions=self._max_sessions if key.max_sessions is None else key.max_sessions,
        )
