"""What the fork server imports, and nobody else: importing it settles the process and imports the model families."""

from __future__ import annotations

import os

from gateway.engines import preload

preload.settle()
preload.preload(os.environ.get(preload.NAMES, ""))
