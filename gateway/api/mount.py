"""Puts routes, layers and error handlers on an application; the one place in `api` that knows all of them."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.api import catalog, cloudflare, finetunes, health, openai, openai_models, tokens, websocket
from gateway.api.auth import Gate
from gateway.api.envelope import install_handlers
from gateway.api.front import Front
from gateway.api.paths import PREFIX
from gateway.api.state import State


def install(app: FastAPI, state: State) -> None:
    """Make `app` serve Cloudflare's routes from `state`, under `/client/v4` and without it.

    A request passes Front, Gate and the router in this order.
    """
    app.state.gateway = state
    app.servers = [{"url": PREFIX}, {"url": "/"}]
    app.router.redirect_slashes = False
    for part in (cloudflare, openai, openai_models, catalog, finetunes, tokens, health):
        # Not `include_router`: it would match each request in a router of its own, and hide its routes from a walk.
        app.router.routes.extend(part.router.routes)
    app.router.routes.extend(websocket.routes)
    app.add_middleware(Gate, keys=state.keys, accounts=state.settings.accounts)
    app.add_middleware(Front, metrics=state.metrics, tracing=state.tracing)
    install_handlers(app)
