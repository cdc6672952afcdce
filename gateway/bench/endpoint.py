"""Where a bench sends its requests: address, account, key, and the routes there; knows no model and no load."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

from gateway.config import ACCOUNT_ID, ConfigError

PREFIX = "/client/v4"
ANY_ACCOUNT = "0" * 32
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Endpoint:
    """A server of Cloudflare's routes. Raises `ConfigError` if its address or account cannot be one."""

    url: str
    account: str = ANY_ACCOUNT
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        found = httpx.URL(self.url)
        if found.scheme not in ("http", "https") or not found.host:
            raise ConfigError(f"--url {self.url}: an address looks like http://127.0.0.1:8787")
        if not ACCOUNT_ID.fullmatch(self.account):
            raise ConfigError(f"--account {self.account}: an account id has 32 hexadecimal digits")

    @property
    def root(self) -> str:
        """The address without a path, whichever of the usual ones it was given with."""
        return self.url.rstrip("/").removesuffix(PREFIX)

    @property
    def host(self) -> str:
        """The name or address of its machine."""
        return httpx.URL(self.url).host

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def path(self, rest: str) -> str:
        """The address of an account's AI route."""
        return f"{self.root}{PREFIX}/accounts/{self.account}/ai/{rest}"

    def run_path(self, model: str) -> str:
        """The address of a model."""
        return self.path(f"run/{quote(model, safe='@/')}")

    def headers(self) -> dict[str, str]:
        """The credential: without a key one that only an endpoint without keys takes, as clients send."""
        return {"authorization": f"Bearer {self.key or 'none'}"}

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """For questions about it. No proxy of the environment, but its certificate authorities."""
        return httpx.Client(headers=self.headers(), timeout=timeout_s, trust_env=False, verify=trust())

    def connection(self, timeout_s: float, verify: ssl.SSLContext) -> httpx.AsyncClient:
        """For one request after the other over one connection; `timeout_s` bounds each silence."""
        return httpx.AsyncClient(
            headers=self.headers(),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
            verify=verify,
            limits=httpx.Limits(max_connections=1),
        )


def trust() -> ssl.SSLContext:
    """The authorities of the system, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpx.create_ssl_context()
