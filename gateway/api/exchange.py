"""One request and its answer, as headers, logs and metrics see it; knows no route."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from starlette.types import Scope

from gateway.api import access
from gateway.api.shares import Portion
from gateway.errors import PermissionMissing
from gateway.runtime.timing import Timing

_KEY = "gateway.exchange"


@dataclass(slots=True)
class Exchange:
    """What becomes known of a request on its way; `model` and `task` stay empty if it reaches no model.

    `asked` is the name that the caller used: an alias of `model`, or that of a model it stands in for, if not its own.
    `status` is 0 until the answer's headers are sent, `code` is 0 for a success; `is_openai` says that the route is
    one of OpenAI's, whose clients read errors in a form of their own. `timing` is filled once a model accepted it.
    `traceparent` (W3C Trace Context) names the request's span; empty if none is exported.
    `caller` is whose key it is, or None if nobody had to show one.
    `neurons` is what the answer, or a whole session, would have cost on Cloudflare, if its model has a price and it is
    known in time. `audio_s` is how much sound a session has heard. `body` is what the request has of the memory for
    bodies; whoever began the exchange gives it back at the end.
    """

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    token: bytes = field(default=b"", repr=False)
    caller: access.Key | None = None
    asked: str = ""
    model: str = ""
    task: str = ""
    status: int = 0
    code: int = 0
    is_openai: bool = False
    neurons: float | None = None
    audio_s: float | None = None
    body: Portion | None = None
    timing: Timing = field(default_factory=Timing)
    traceparent: str = ""

    def require(self, scope: access.Scope) -> access.Key:
        """The caller, who has that scope; raises `PermissionMissing`."""
        if self.caller is None or scope not in self.caller.scopes:
            raise PermissionMissing
        return self.caller


def begin(scope: Scope) -> Exchange:
    """A new exchange, kept in `scope`."""
    exchange = Exchange()
    scope[_KEY] = exchange
    return exchange


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that `scope` belongs to."""
    exchange: Exchange = scope[_KEY]
    return exchange
