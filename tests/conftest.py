"""What all tests share."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import settings

from gateway.engines import preload


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Tests run on the event loop that `gateway serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


# How long an example takes says more of the machine's neighbours than of the code.
settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")

# As in the workers: importing openvino must not report to its maker. Hub libraries stay online, for tests of pulls.
sys.modules.update(dict.fromkeys(preload.FORBIDDEN))  # type: ignore[arg-type]
