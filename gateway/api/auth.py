"""Who may pass: every route is closed unless it is on a list here; knows no route's meaning."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.access import Key
from gateway.api.exchange import exchange_of
from gateway.api.keyring import Keyring
from gateway.api.paths import account_of, is_account_id
from gateway.errors import AuthenticationFailed, InvalidAccount, InvalidCredentialHeader, MissingCredentials

OPEN = frozenset({"/health"})
OPEN_WITHOUT_KEYS = frozenset({"/ready", "/metrics", "/openapi.json"})


class Gate:
    """Lets a request through, or raises the `RouterError` that the live service would answer with.

    In this order: a malformed account id, no credential, a credential header that cannot be read, an unknown key
    or an account that is not served, or not to this key. What the key may do there, the route asks (routes.py).

    While the keyring is open (no key was ever configured), any token passes, but only from this machine and only
    under a loopback host name. The first keeps the promise when some other server than `gateway serve` runs the
    application; the second shuts out web pages whose own host name was rebound to a loopback address, which the
    browser takes for the same origin and lets set any header. Other pages cannot reach it either: a credential
    header needs a preflight, and no answer ever carries an `Access-Control` header; on a WebSocket, which has no
    preflight, a page cannot set one at all.
    """

    def __init__(self, app: ASGIApp, keys: Keyring, accounts: tuple[str, ...]) -> None:
        self._app = app
        self._keys = keys
        self._accounts = frozenset(accounts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; raises `RouterError`."""
        if scope["type"] != "lifespan" and scope["path"] not in OPEN:
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        self._keys.refresh()
        exchange = exchange_of(scope)
        account = account_of(scope["path"])
        if account is not None and not is_account_id(account):
            raise InvalidAccount((scope.get("raw_path") or b"").decode("latin-1")[:200])
        if not self._keys.closed:
            if not _is_local(scope):
                raise AuthenticationFailed("Authentication error: without keys only this machine is served")
            exchange.caller = self._keys.anyone
            if scope["path"] in OPEN_WITHOUT_KEYS:
                return
        exchange.token = credential(scope)
        if self._keys.closed:
            exchange.caller = self._keys.find(exchange.token)
        if exchange.caller is None:
            raise AuthenticationFailed
        if account is not None and not self._serves(exchange.caller, account.lower()):
            raise AuthenticationFailed

    def _serves(self, caller: Key, account: str) -> bool:
        """Whether the gateway serves that account, and this caller of it."""
        return (not self._accounts or account in self._accounts) and (not caller.accounts or account in caller.accounts)


def credential(scope: Scope) -> bytes:
    """The token or key of the request; raises `MissingCredentials` or `InvalidCredentialHeader`.

    Accepted: `Authorization: Bearer`, `X-Auth-Email` with `X-Auth-Key`, `X-Auth-User-Service-Key`.
    """
    sent: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name == b"authorization" and name in sent:
            raise InvalidCredentialHeader
        sent[name] = value
    if b"authorization" in sent:
        scheme, _, token = sent[b"authorization"].strip().partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token or b" " in token:
            raise InvalidCredentialHeader
        return token
    if b"x-auth-key" in sent and b"x-auth-email" in sent:
        return sent[b"x-auth-key"]
    if b"x-auth-user-service-key" in sent:
        return sent[b"x-auth-user-service-key"]
    raise MissingCredentials


def _is_local(scope: Scope) -> bool:
    """Whether peer and `Host` are loopback; a Unix socket has no peer, and no browser leaves `Host` out."""
    client = scope.get("client")
    host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
    return (client is None or _is_loopback(client[0])) and _is_loopback(_host_name(host.decode("latin-1")))


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


@lru_cache(maxsize=1024)
def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
