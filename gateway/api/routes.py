"""The kind of route used here: in the OpenAPI document, but without FastAPI's parsing of parameters and bodies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class Route(APIRoute):
    """Its endpoint takes the request and returns the response; what it reads, it reads and checks itself.

    Bodies are bounded, sniffed and validated by the model's task, which is only known once the path is; and
    FastAPI's machinery would cost a multiple of the rest of the gateway's work per request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint
