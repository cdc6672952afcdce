"""The refusals of the live service, for operators who want them (`GATEWAY_COMPAT=strict`); knows no route."""

from __future__ import annotations

from gateway.api.bodies import Asked
from gateway.config import ModelSpec
from gateway.errors import BadInput, JsonModeUnsupported, JsonStreamRefused
from gateway.tasks.generation import Generation
from gateway.tasks.responses import ResponsesInput


def check(spec: ModelSpec, asked: Asked) -> None:
    """Raise what Cloudflare would answer to a request that a gateway could serve.

    5025 for JSON mode of a row that does not declare it, 5023 for JSON mode in a stream, and 5006 for a stream of
    the Responses API.
    """
    if asked.form.name != "text-generation":
        return
    streams = bool(getattr(asked.input, "stream", False))
    if streams and isinstance(asked.input, ResponsesInput):
        raise BadInput("'/stream' must be false: responses are not streamed")
    generation: Generation = asked.input.generation()  # type: ignore[attr-defined]
    if not generation.format.is_json:
        return
    if not spec.json_mode:
        raise JsonModeUnsupported
    if streams:
        raise JsonStreamRefused
