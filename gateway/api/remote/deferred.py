"""Requests that are checked now and answered later, with media that is fetched only then; knows no batch."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.api.cost import check_input
from gateway.api.remote.media import RemoteMedia, check_count
from gateway.api.remote.places import places
from gateway.runtime.model import Model
from gateway.tasks import Task, TaskInput
from gateway.tasks.cost import Unit

# A picture of one pixel: what any place takes that takes a picture.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def stand_in(request: dict[str, Any], addresses: Iterable[str]) -> dict[str, Any]:
    """`request` with a small picture at each address, so that the rest of it can be checked; itself if it names none.

    Raises `BadInput` if it names too many.
    """
    patterns = tuple(addresses)
    found = places(request, patterns)
    if not found:
        return request
    check_count(found)
    checked = copy.deepcopy(request)
    for place in places(checked, patterns):
        place.put(PIXEL)
    return checked


class Deferred:
    """Makes inputs of requests whose media is still at its addresses, as the settings of this start permit."""

    def __init__(self, media: RemoteMedia | None) -> None:
        self._media = media

    async def completed(self, model: Model, task: Task, request: Any, max_cost: Mapping[Unit, int]) -> TaskInput:
        """What `request` asks of `model` in that form of its task.

        Raises `BadInput` if it gives no input, also because an address gives no picture; `CostExceeded` if with its
        pictures it takes more than `max_cost`; and `Overloaded` if too many pictures are being fetched.
        """
        if self._media is not None:
            await self._media.bring(places(request, task.addresses), task.max_body_bytes)
        input = await asyncio.to_thread(task.parse, request)
        check_input(model.spec, max_cost, input)
        return input
