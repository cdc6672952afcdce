"""Imports what the backends need, for the fork server; each is optional and never touches a device."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):
    import gateway.engines.llm.openvino
with contextlib.suppress(ImportError):
    import gateway.engines.llm.transformers  # noqa: F401
