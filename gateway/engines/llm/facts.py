"""What weights say about themselves: window, cache size, stop tokens; read from a GGUF header or a config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "facts.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """`window` in tokens; `kv_heads` are the key and value heads of all layers together, `head_size` numbers each."""

    window: int | None = None
    kv_heads: int = 0
    head_size: int = 0
    stop_tokens: tuple[int, ...] = ()

    def save(self, folder: Path) -> None:
        """Write them into `folder`."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self)), encoding="utf-8")


def saved_facts(folder: Path) -> Facts:
    """What `save` wrote."""
    known = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    return Facts(**{**known, "stop_tokens": tuple(known["stop_tokens"])})


def gguf_facts(file: Path) -> Facts:
    """From the header of a GGUF (its names: the GGUF specification). Takes seconds: the vocabulary is walked."""
    from gguf import GGUFReader

    fields = GGUFReader(file).fields

    def value(name: str, default: Any = None) -> Any:
        return fields[name].contents() if name in fields else default

    family = value("general.architecture", "")
    heads = value(f"{family}.attention.head_count", 0)
    kv_heads = value(f"{family}.attention.head_count_kv", heads)
    layers = value(f"{family}.block_count", 0)
    width = value(f"{family}.embedding_length", 0)
    per_layer = kv_heads if isinstance(kv_heads, list) else [kv_heads] * layers
    head_size = value(f"{family}.attention.key_length") or (width // heads if isinstance(heads, int) and heads else 0)
    ends = (value(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    return Facts(
        window=value(f"{family}.context_length"),
        kv_heads=2 * sum(per_layer),
        head_size=head_size,
        stop_tokens=tuple(end for end in ends if end is not None),
    )


def config_facts(folder: Path) -> Facts:
    """From the config.json in `folder`; without one nothing is known."""
    file = folder / "config.json"
    if not file.is_file():
        return Facts()
    document: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    config = document.get("text_config") or document
    heads = config.get("num_attention_heads", 0)
    layers = config.get("num_hidden_layers", 0)
    return Facts(
        window=config.get("max_position_embeddings"),
        kv_heads=2 * layers * (config.get("num_key_value_heads") or heads),
        head_size=config.get("head_dim") or (config.get("hidden_size", 0) // heads if heads else 0),
    )
