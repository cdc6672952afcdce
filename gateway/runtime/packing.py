"""Inputs as they cross the pipe; knows no queue and no process."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.runtime import framing
from gateway.runtime.worker import OFF_LOOP_BYTES
from gateway.tasks import Extent, TaskInput

# How much of an input is certainly small enough to be packed on the event loop, in units of its extent.
_SURELY_SMALL = OFF_LOOP_BYTES // 16


async def packed(input: TaskInput, extent: Extent) -> msgspec.Raw:
    """The fields that the caller set, in msgpack; in a thread unless they are few for certain."""
    values = input.model_dump(exclude_unset=True)
    is_small = extent.rows * extent.length < _SURELY_SMALL
    return msgspec.Raw(framing.pack(values) if is_small else await asyncio.to_thread(framing.pack, values))
