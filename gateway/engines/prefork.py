"""What the fork server imports, and nobody else: importing it goes offline and imports the model families."""

from __future__ import annotations

import os

from gateway.engines import preload

preload.go_offline()
preload.preload(os.environ.get(preload.NAMES, ""))
