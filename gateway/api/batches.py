"""Batches of requests: taken now, answered in the background, fetched later (docs/api.md); knows no task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from gateway.api.bodies import is_json, media_type, off_loop
from gateway.api.choosing import Chosen, uncount
from gateway.api.cost import check, estimate
from gateway.api.documents import decode_json
from gateway.api.remote.deferred import stand_in
from gateway.api.state import state_of
from gateway.errors import BadInput, InvalidParameter
from gateway.runtime.batch_store import Item, Outcome, Progress, item
from gateway.tasks import Task, TaskInput
from gateway.tasks.base import JSON
from gateway.tasks.cost import Unit
from gateway.tasks.schema import output_schema

MAX_BODY_BYTES = 10_000_000
MAX_REFERENCE_CHARACTERS = 1024
PIECE_BYTES = 1 << 16
_END = b'"success":true,"errors":[],"messages":[]}'


def may_be_batch(request: Request, body: bytes) -> bool:
    """Whether a request to the run route is about a batch: it says so, or its body may have a batch's keys."""
    if request.query_params.get("queueRequest") == "true":
        return True
    return (b'"requests"' in body or b'"request_id"' in body) and is_json(media_type(request.headers), body)


async def answer(request: Request, chosen: Chosen, body: bytes) -> Response | None:
    """The answer to a request that takes or asks for a batch; None if its body turns out to be neither.

    Raises `BadInput` naming the item and field that is wrong; then nothing of the batch is taken.
    """
    state = state_of(request)
    if not is_json(media_type(request.headers), body):
        raise BadInput("Type mismatch of '/', 'binary' not in 'object'")
    document = await off_loop(state.parsing, decode_json, body)
    if not isinstance(document, dict):
        return None
    account = request.path_params["account_id"]
    if isinstance(document.get("request_id"), str) and "requests" not in document:
        uncount(state, chosen)
        progress = await state.batches.find(document["request_id"], account)
        if progress is None:
            raise BadInput("'/request_id' is not that of a batch, or of one that ended more than a day ago")
        if not progress.is_done:
            return _told(progress)
        return StreamingResponse(pieces(progress, state.batches.outcomes(progress)), media_type=JSON)
    if "requests" not in document:
        if request.query_params.get("queueRequest") == "true":
            document = {"requests": [document]}
        else:
            return None
    if len(body) > MAX_BODY_BYTES:
        raise BadInput(f"a batch must not be larger than {MAX_BODY_BYTES} bytes")
    if output_schema(chosen.task).get("format") == "binary":
        raise BadInput("this model answers with media, which a batch cannot hold")
    items = await off_loop(state.parsing, _items, chosen, document["requests"], state.media is not None)
    batch = await state.batches.submit(account, chosen.origin.model, chosen.task, items, chosen.caller.max_cost)
    return _told(Progress(batch))


def _items(chosen: Chosen, requests: Any, fetches: bool) -> list[Item]:
    """The items of a batch; raises `BadInput`, and `CostExceeded` if all of them together take too much.

    `fetches` says that media at addresses is fetched, once the items run: what it costs is not known before.
    """
    if not isinstance(requests, list) or not requests:
        raise BadInput("'/requests' must be a list of at least one request")
    items: list[Item] = []
    cost: Counter[Unit] = Counter()
    for index, request in enumerate(requests):
        reference = _reference(index, request)
        input, is_whole = _input(chosen.task, index, request, fetches)
        if chosen.caller.max_cost:
            cost.update(estimate(chosen.model.spec, input))
            check(chosen.caller.max_cost, cost)
        values = input.model_dump(exclude_unset=True) if is_whole else request
        items.append(item(values, reference, has_addresses=not is_whole))
    return items


def _reference(index: int, request: Any) -> str | None:
    """The caller's own name for a request of a batch; raises `BadInput`."""
    where = f"/requests/{index}"
    if not isinstance(request, dict):
        raise BadInput(f"Type mismatch of '{where}', not in 'object'")
    reference = request.get("external_reference")
    if reference is not None and not (isinstance(reference, str) and len(reference) <= MAX_REFERENCE_CHARACTERS):
        raise BadInput(
            f"'{where}/external_reference' must be a string of at most {MAX_REFERENCE_CHARACTERS} characters"
        )
    return reference


def _input(task: Task, index: int, request: dict[str, Any], fetches: bool) -> tuple[TaskInput, bool]:
    """The task input of one request of a batch, and whether it is whole: media may have to be fetched for it."""
    where = f"/requests/{index}"
    try:
        form = task.form_of(request)
        checked = stand_in(request, form.addresses) if fetches else request
        input = form.parse(checked)
    except (BadInput, InvalidParameter) as error:
        raise type(error)(f"in '{where}': {error.detail}") from None
    if getattr(input, "stream", False):
        raise BadInput(f"'{where}/stream' cannot be true in a batch")
    return input, checked is request


def _told(progress: Progress) -> Response:
    """That a batch waits or runs."""
    batch = progress.batch
    status = "running" if progress.done else "queued"
    result: dict[str, Any] = {"status": status, "request_id": batch.id, "model": batch.model}
    return Response(b'{"result":%b,%b' % (orjson.dumps(result), _END), 202, media_type=JSON)


def pieces(progress: Progress, outcomes: Iterator[Outcome]) -> Iterator[bytes]:
    """All answers of a finished batch, in pieces of about `PIECE_BYTES`: together they may be larger than memory."""
    piece = bytearray(b'{"result":{"responses":[')
    for number, outcome in enumerate(outcomes):
        id = outcome.mark.id
        reference = orjson.dumps(progress.batch.items[id].external_reference)
        kind, success = (b"result", b"true") if outcome.mark.success else (b"errors", b"false")
        piece += b'%b{"id":%d,"%b":%b,"success":%b,"external_reference":%b}' % (
            b"," if number else b"",
            id,
            kind,
            outcome.body,
            success,
            reference,
        )
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    marks = [done.mark for done in progress.done.values()]
    prompt, completion = sum(mark.prompt_tokens for mark in marks), sum(mark.completion_tokens for mark in marks)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    yield bytes(piece) + b'],"usage":%b},%b' % (orjson.dumps(usage), _END)
