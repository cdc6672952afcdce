"""The run route over WebSocket: which session a model has, and how sessions begin and end; knows no protocol."""

from __future__ import annotations

import contextlib
from urllib.parse import unquote

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.api.access import Scope
from gateway.api.bodies import query_of
from gateway.api.choosing import choose
from gateway.api.envelope import as_gateway_error
from gateway.api.exchange import exchange_of
from gateway.api.live.flux import FluxSession
from gateway.api.live.nova import NovaSession
from gateway.api.live.session import Session
from gateway.api.live.socket import NORMAL, TROUBLE, Closing, Socket, short
from gateway.api.live.speak import SpeakSession
from gateway.api.live.turns import TurnSession
from gateway.api.state import state_of
from gateway.errors import BadInput, GatewayError, NoRoute, RequestAborted

SESSIONS: dict[tuple[str, str], type[Session]] = {
    ("automatic-speech-recognition", "flux"): FluxSession,
    ("automatic-speech-recognition", "nova-3"): NovaSession,
    ("voice-activity-detection", "default"): TurnSession,
    ("text-to-speech", "aura"): SpeakSession,
    ("text-to-speech", "aura-2-en"): SpeakSession,
    ("text-to-speech", "aura-2-es"): SpeakSession,
}


async def converse(websocket: WebSocket) -> None:
    """Open a session with the model named in the path, or as `model` in the query. Raises `GatewayError` before that.

    The errors raised here become plain HTTP answers to the upgrade, with the same status and body as anywhere else.
    """
    state = state_of(websocket)
    exchange_of(websocket.scope).require(Scope.RUN)
    query = query_of(websocket.scope["query_string"])
    name = websocket.path_params.get("model_name") or query.pop("model", None)
    if not isinstance(name, str):
        raise BadInput("required properties at '/' are 'model'")
    chosen = await choose(websocket, unquote(name) if "%" in name else name)
    kind = SESSIONS.get((chosen.task.name, chosen.task.shape))
    if kind is None:
        raise BadInput("this model does not speak over a WebSocket")
    session = kind(chosen, query)
    with state.seats.portion(chosen.caller.sha256, chosen.caller.max_sessions or 0).take(1):
        await websocket.accept()
        await _serve(websocket, session)


async def _serve(websocket: WebSocket, session: Session) -> None:
    """Run an accepted session; however it ends, the caller is told by the close code."""
    exchange = exchange_of(websocket.scope)
    code, reason = NORMAL, ""
    try:
        await _metered(websocket, session)
    except RequestAborted:
        return
    except Closing as closing:
        code, reason = closing.code, closing.reason
    except Exception as error:
        known = as_gateway_error(error)
        exchange.code = known.code
        code, reason = TROUBLE, _reason(known, exchange.request_id)
    with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):  # the caller was faster
        await websocket.close(code, reason)


async def _metered(websocket: WebSocket, session: Session) -> None:
    """Run the session; however it ends, what it took is counted and in the log."""
    exchange = exchange_of(websocket.scope)
    try:
        await session.run(Socket(websocket))
    finally:
        spent = session.spent()
        if spent is not None:
            session.note(spent)
            state_of(websocket).metrics.count_usage(exchange.model, spent)
        exchange.neurons, exchange.audio_s = session.neurons, session.heard_s


def _reason(error: GatewayError, request_id: str) -> str:
    """The code and the request's id: there is no room for a whole message."""
    return short(f"{error.code} {error.detail[:60]} ({request_id})")


async def refuse(websocket: WebSocket) -> None:
    """There is no such route, in the words of HTTP."""
    raise NoRoute


PREFIX = "/accounts/{account_id}/ai/run"
routes = [
    WebSocketRoute(f"{PREFIX}/{{model_name:path}}", converse),
    WebSocketRoute(PREFIX, converse),
    WebSocketRoute("/{path:path}", refuse),
]
