"""Names and ids of fine-tunes; knows no row and no file."""

from __future__ import annotations

import uuid


def finetune_id(name: str) -> str:
    """The id of the fine-tune of that name: the same on every machine and after every restart."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"finetune:{name}"))
