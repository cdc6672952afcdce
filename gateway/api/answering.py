"""From a parsed request to its response, streamed or whole; knows no route and no process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response

from gateway.api import compat
from gateway.api.bodies import Asked
from gateway.api.chat_frames import ChatFrames
from gateway.api.choosing import Chosen
from gateway.api.cost import check_input
from gateway.api.exchange import exchange_of
from gateway.api.frames import Frames, NativeFrames
from gateway.api.keep_alive import keep_alive_s
from gateway.api.moondream_frames import MoondreamFrames
from gateway.api.response_frames import ResponseFrames
from gateway.api.run_frames import RunChatFrames, TextFrames
from gateway.api.state import state_of
from gateway.api.streams import EventStream, MediaStream, unless_disconnected
from gateway.tasks import Answer, Origin
from gateway.tasks.neurons import Tariff


def frames_for(asked: Asked, origin: Origin, *, is_openai: bool) -> Frames:
    """Who writes the stream, by the form of the request and the route that it came by."""
    writers: dict[str, Callable[[Any, Origin], Frames]] = {
        "chat-completion": ChatFrames if is_openai else RunChatFrames,
        "gpt-oss": RunChatFrames,
        "chat-completion-native": TextFrames if getattr(asked.input, "is_completion", False) else RunChatFrames,
        "responses": ResponseFrames,
        "moondream": MoondreamFrames,
    }
    writer = writers.get(asked.form.shape)
    return NativeFrames() if writer is None else writer(asked.input, origin)


async def reply(request: Request, chosen: Chosen, asked: Asked, whole: Callable[[Answer], Response]) -> Response:
    """The response to `asked`: events if it is to be streamed, else the answer as `whole` wraps it.

    Raises `GatewayError`; `RequestAborted` once the caller has left.
    """
    model, origin = chosen.model, chosen.origin
    if state_of(request).settings.compat == "strict":
        compat.check(model.spec, asked)
    check_input(model.spec, chosen.caller.max_cost, asked.input)
    model.keep_alive(keep_alive_s(request.headers))
    form = None if asked.form is model.task else asked.form
    exchange = exchange_of(request.scope)
    waits, timing = asked.waits, exchange.timing
    if asked.form.streams_media:
        # The header is sent before the end: it can tell a price that depends on the request alone.
        exchange.neurons = Tariff(model.spec.properties.price).neurons(asked.form.measure(asked.input, None))
        pieces = model.stream(asked.input, origin, form, waits=waits, timing=timing)
        return MediaStream(pieces, model.spec.timeout_s)
    if asked.form.collect is not None and getattr(asked.input, "stream", False):
        frames = frames_for(asked, origin, is_openai=exchange.is_openai)
        pieces = model.stream(asked.input, origin, form, waits=waits, timing=timing)
        return EventStream(pieces, frames, model.spec.timeout_s)
    answering = model.infer(asked.input, origin, form, waits=waits, timing=timing)
    answer = await unless_disconnected(answering, request.receive)
    exchange.neurons = None if answer.usage is None else answer.usage.neurons
    return whole(answer)
