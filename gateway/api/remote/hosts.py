"""The hosts that media may be fetched from, as an operator writes them; resolves and opens nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from gateway.api.remote.network import IpAddress, is_private, is_public
from gateway.config import ConfigError
from gateway.runtime.metrics import FetchOutcome

_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PRIVATE = "private:"
NOT_ALLOWED = "leads to a host that this gateway does not fetch media from"
UNREACHABLE = "cannot be fetched"


class AddressRefused(Exception):
    """An address whose media is not given to the caller.

    The text says why, `why` tells the operator more, and `outcome` is what it counts as.
    """

    def __init__(self, text: str, why: str = "", outcome: FetchOutcome = "refused") -> None:
        super().__init__(text)
        self.why = why or text
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of the list: an origin, or with `is_suffix` the same of every host below it.

    Its host must have public addresses, unless the entry `is_private` or names the IP address itself.
    """

    scheme: str
    name: str
    port: int
    is_suffix: bool = False
    is_private: bool = False

    def covers(self, url: httpx.URL) -> bool:
        """Whether the list's author meant that address."""
        if (url.scheme, _port(url)) != (self.scheme, self.port):
            return False
        name = host_name(url)
        return name.endswith(f".{self.name}") if self.is_suffix else name == self.name

    def admits(self, address: IpAddress) -> bool:
        """Whether a connection may go to `address`."""
        return is_public(address) or (self.is_private and is_private(address)) or self.name == str(address)


def host_name(url: httpx.URL) -> str:
    """The host in one form: lower case, ASCII (IDNA 2008), without the root's dot, IP addresses compressed."""
    name = url.raw_host.decode("ascii").lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


class HostList:
    """What `GATEWAY_MEDIA_HOSTS` permits."""

    def __init__(self, entries: Sequence[str]) -> None:
        """`entries` are hosts (`a.example`), suffixes (`.example`) or origins (`http://10.0.0.7:8080`).

        One that may have private addresses has `private:` in front. Raises `ConfigError` with the entry.
        """
        hosts = [_host(entry) for entry in entries]
        self._hosts = sorted(hosts, key=lambda host: not host.is_private)

    def host_of(self, url: httpx.URL) -> Host:
        """The entry that permits `url`; raises `AddressRefused`."""
        if url.userinfo:
            raise AddressRefused(NOT_ALLOWED, "the address has credentials")
        for host in self._hosts:
            if host.covers(url):
                return host
        raise AddressRefused(NOT_ALLOWED, "no entry of the list has this origin")


def _host(entry: str) -> Host:
    text = entry.strip().lower()
    rest = text.removeprefix(_PRIVATE)
    scheme, found, place = rest.rpartition("://")
    scheme = scheme if found else "https"
    is_suffix = place.startswith(".")
    try:
        url = httpx.URL(f"{scheme}://{place.removeprefix('.')}")
        name = host_name(url)
        is_ip = _is_ip(name)
    except (httpx.InvalidURL, ValueError):
        raise _unusable(entry) from None
    is_bare = url.path in ("", "/") and not (url.userinfo or url.query or url.fragment)
    port = _port(url)
    is_origin = is_bare and scheme in _PORTS and 0 < port < 1 << 16
    if not is_origin or not (is_ip or _NAME.fullmatch(name)) or (is_ip and is_suffix):
        raise _unusable(entry)
    return Host(scheme, name, port, is_suffix, text != rest)


def _port(url: httpx.URL) -> int:
    """The port, 0 if neither the address nor its scheme says one that can be meant."""
    return _PORTS.get(url.scheme, 0) if url.port is None else url.port


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _unusable(entry: str) -> ConfigError:
    return ConfigError(
        f"media_hosts: {entry!r} is not a host (images.example.com), a suffix (.example.com) or an origin "
        "(http://10.0.0.7:8080), with `private:` in front if it may have private addresses"
    )
