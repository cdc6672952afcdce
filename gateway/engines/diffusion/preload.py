"""Imports for the fork server what most gateways have there anyway; diffusers waits for a model that needs it."""

from __future__ import annotations

import torch  # noqa: F401
import transformers  # noqa: F401
