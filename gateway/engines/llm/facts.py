"""What weights say about themselves: window, stop tokens; read from a GGUF header or a config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config import ConfigError, ModelSpec

if TYPE_CHECKING:
    from gguf import GGUFReader

FILE_NAME = "facts.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """`window` in tokens; `stop_tokens` are the ids that end a turn."""

    window: int | None = None
    stop_tokens: tuple[int, ...] = ()

    def save(self, folder: Path) -> None:
        """Write them into `folder`."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self)), encoding="utf-8")


def window_of(spec: ModelSpec, own: int | None) -> int:
    """In tokens; raises `ConfigError` if neither the row nor the weights say it."""
    known = [window for window in (spec.context_window, own) if window]
    if not known:
        raise ConfigError(f"row {spec.name}: context_window: is not in the weights, so the row must say it")
    return min(known)


def saved_facts(folder: Path) -> Facts:
    """What `save` wrote."""
    known = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    return Facts(window=known["window"], stop_tokens=tuple(known["stop_tokens"]))


def gguf_facts(reader: GGUFReader) -> Facts:
    """From the header of a GGUF (its names: the GGUF specification)."""
    fields = reader.fields

    def value(name: str, default: Any = None) -> Any:
        return fields[name].contents() if name in fields else default

    family = value("general.architecture", "")
    ends = (value(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    return Facts(
        window=value(f"{family}.context_length"),
        stop_tokens=tuple(end for end in ends if end is not None),
    )


def config_facts(folder: Path) -> Facts:
    """From the config.json and the generation_config.json in `folder`, if they are there."""
    config, generation = (_document(folder / name) for name in ("config.json", "generation_config.json"))
    text = config.get("text_config") or config
    ends = generation.get("eos_token_id", text.get("eos_token_id"))
    return Facts(
        window=text.get("max_position_embeddings"),
        stop_tokens=tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,),
    )


def _document(file: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found
