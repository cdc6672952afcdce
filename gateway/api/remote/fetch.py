"""Fetches what is at an address, from permitted hosts alone; knows no request and no kind of media."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import httpx

from gateway.api.remote.hosts import NOT_ALLOWED, UNREACHABLE, AddressRefused, Host, HostList, host_name
from gateway.api.remote.network import IpAddress

MAX_REDIRECTS = 3
MAX_TRIED = 3
CONNECT_S = 3.0
MAX_URL_CHARACTERS = 8192
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """The IP addresses of a host, as this machine resolves names; raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Allowance:
    """How many bytes may still be read for one request."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._left_bytes = limit_bytes

    def take(self, size_bytes: int) -> None:
        """Count bytes; raises `AddressRefused` if they are too many."""
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            text = f"the media at a request's addresses must not have more than {self._limit_bytes} bytes together"
            raise AddressRefused(text, outcome="too_large")

    @property
    def taken_bytes(self) -> int:
        """How many have been read."""
        return self._limit_bytes - self._left_bytes


class Fetcher:
    """Asks only hosts of its list, at the very address that was checked, and anew for every redirect.

    A host's name is resolved once for each connection and never by the HTTP library. Proxies, cookies, credentials and
    referrers are not sent; a connection serves one request.
    """

    def __init__(self, hosts: HostList, resolve: Resolve = system_addresses) -> None:
        self._hosts = hosts
        self._resolve = resolve
        # As for every client of this library, SSL_CERT_FILE and SSL_CERT_DIR name other authorities to trust.
        self._trust = httpx.create_ssl_context()

    async def fetch(self, address: str, allowance: Allowance) -> bytes:
        """The bytes there; raises `AddressRefused`. The caller bounds the time."""
        url = _parsed(address)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask(url, allowance)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise AddressRefused(f"is redirected more than {MAX_REDIRECTS} times", outcome="failed")

    async def _ask(self, url: httpx.URL, allowance: Allowance) -> bytes | httpx.URL:
        """The bytes there, or where they are instead."""
        addresses = await self._addresses(self._hosts.host_of(url), url)
        try:
            async with httpx.AsyncHTTPTransport(verify=self._trust, trust_env=False) as transport:
                response = await _connected(transport, url, addresses)
                try:
                    if response.status_code in _REDIRECTS:
                        return _redirected(url, response)
                    return await _body(response, allowance)
                finally:
                    await response.aclose()
        except httpx.HTTPError as error:
            raise AddressRefused(UNREACHABLE, f"{type(error).__name__}: {error}", "unreachable") from None

    async def _addresses(self, host: Host, url: httpx.URL) -> list[IpAddress]:
        """Where `url` leads; raises `AddressRefused` if any of it is not where `host` may be."""
        name = host_name(url)
        try:
            found = await self._resolve(name, host.port)
            addresses = [ipaddress.ip_address(text) for text in found]
        except (OSError, ValueError) as error:
            raise AddressRefused(UNREACHABLE, f"not resolved: {error}", "unreachable") from None
        for address in addresses:
            if not host.admits(address):
                raise AddressRefused(UNREACHABLE, f"{address} is not a public address")
        if not addresses:
            raise AddressRefused(UNREACHABLE, "the name has no address", "unreachable")
        return addresses[:MAX_TRIED]


def _parsed(address: str) -> httpx.URL:
    if len(address) > MAX_URL_CHARACTERS:
        raise AddressRefused(f"an address must not have more than {MAX_URL_CHARACTERS} characters")
    try:
        return httpx.URL(address)
    except (httpx.InvalidURL, ValueError):
        raise AddressRefused("is not an address") from None


async def _connected(
    transport: httpx.AsyncHTTPTransport, url: httpx.URL, addresses: Sequence[IpAddress]
) -> httpx.Response:
    """The head of the answer, from the first address that takes a connection."""
    for address in addresses[:-1]:
        try:
            return await transport.handle_async_request(_pinned(url, address))
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
    return await transport.handle_async_request(_pinned(url, addresses[-1]))


def _pinned(url: httpx.URL, address: IpAddress) -> httpx.Request:
    """A request for `url` that goes to `address`; the host's name is what the certificate has to be for."""
    name = host_name(url)
    place = f"[{name}]" if ":" in name else name
    headers = {
        "host": place if url.port is None else f"{place}:{url.port}",
        "user-agent": "gateway",
        "accept": "image/*, */*;q=0.1",
        "accept-encoding": "identity",
        "connection": "close",
    }
    extensions = {"sni_hostname": name, "timeout": {"connect": CONNECT_S}}
    return httpx.Request("GET", url.copy_with(host=str(address), fragment=None), headers=headers, extensions=extensions)


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    try:
        return url.join(response.headers["location"])
    except (KeyError, httpx.InvalidURL, ValueError):
        raise AddressRefused(NOT_ALLOWED, "a redirect without an address", "failed") from None


async def _body(response: httpx.Response, allowance: Allowance) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise AddressRefused(f"its server answers with status {response.status_code}", outcome="failed")
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise AddressRefused("its server sends it compressed", outcome="failed")
    body = bytearray()
    async for part in response.aiter_raw():
        allowance.take(len(part))
        body += part
    return bytes(body)
