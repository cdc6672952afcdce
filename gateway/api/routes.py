"""The kind of route used here: in the OpenAPI document, but without FastAPI's parsing of parameters and bodies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gateway.api.access import Scope
from gateway.api.exchange import exchange_of


class Route(APIRoute):
    """Its endpoint takes the request and returns the response; what it reads, it reads and checks itself.

    `needs` is what the caller's key must have, so a route that does not say is one for operators.

    Bodies are bounded, sniffed and validated by the model's task, which is only known once the path is; and
    FastAPI's machinery would cost a multiple of the rest of the gateway's work per request.
    """

    needs: ClassVar[Scope | None] = Scope.ADMIN

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, for those who may ask it; it raises `PermissionMissing` for others."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        needed = self.needs
        if needed is None:
            return endpoint

        async def guarded(request: Request) -> Response:
            exchange_of(request.scope).require(needed)
            return await endpoint(request)

        return guarded


class RunRoute(Route):
    """A route that has a model work."""

    needs = Scope.RUN


class ReadRoute(Route):
    """A route that tells what there is."""

    needs = Scope.READ


class UnscopedRoute(Route):
    """A route for whoever the gate lets through."""

    needs = None
