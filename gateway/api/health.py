"""What operators ask: is it alive, is it ready, what has it done; knows no model's task."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

from gateway import __version__
from gateway.api.routes import Route, UnscopedRoute
from gateway.api.state import state_of
from gateway.tasks.base import JSON


async def health(request: Request) -> Response:
    """200 while the event loop answers."""
    return Response(b'{"status":"ok"}', media_type=JSON)


async def ready(request: Request) -> Response:
    """200 while every preloaded model can answer and no worker is silent, else 503; every model's state."""
    registry = state_of(request).registry
    is_ready = registry.is_ready()
    models = [model.status() for model in registry]
    body = orjson.dumps({"ready": is_ready, "version": __version__, "memory": registry.memory(), "models": models})
    return Response(body, 200 if is_ready else 503, media_type=JSON)


async def metrics(request: Request) -> Response:
    """All counters in Prometheus's text format."""
    body, content_type = state_of(request).metrics.render()
    return Response(body, headers={"content-type": content_type})


router = APIRouter(tags=["Operation"], route_class=Route)
for _endpoint, _kind in ((health, UnscopedRoute), (ready, Route), (metrics, Route)):
    _path = f"/{_endpoint.__name__}"
    router.add_api_route(_path, _endpoint, methods=["GET"], route_class_override=_kind)
    router.add_api_route(_path, _endpoint, methods=["HEAD"], route_class_override=_kind, include_in_schema=False)
