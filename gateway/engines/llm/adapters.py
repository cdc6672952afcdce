"""LoRA adapters over one model of transformers: loaded once, chosen row by row; knows no request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.config import ConfigError, ModelSpec
from gateway.engines.llm.adapter_files import adapter_folders

BASE = "__base__"  # the name that peft gives to a row without an adapter


class Adapters:
    """The adapters of a row, by the names that callers use.

    A pass whose rows all have the same adapter, or none, runs as if there were no other; only a mixed one pays for
    telling its rows apart.
    """

    def __init__(self, spec: ModelSpec, model: Any) -> None:
        """Load them into `model`; raises `ConfigError` naming the one that cannot be used."""
        self._base = model
        self._keys = {name: f"lora{number}" for number, name in enumerate(spec.loras)}
        self._peft: Any = None
        self._active: str | None = None
        for name, folder in adapter_folders(spec):
            self._load(f"row {spec.name}: loras.{name}", folder, self._keys[name])
        if self._peft is not None:
            self._peft.eval()
            self._switch(None)

    @property
    def names(self) -> Collection[str]:
        """What callers may ask for."""
        return self._keys.keys()

    def run(self, adapters: Sequence[str | None], inputs: Mapping[str, Any]) -> Any:
        """The model's output for `inputs`, in each row with the adapter of that name."""
        if self._peft is None:
            return self._base(**inputs)
        keys = [None if name is None else self._keys[name] for name in adapters]
        if len(set(keys)) == 1:
            self._switch(keys[0])
            return self._base(**inputs)
        self._switch(next(key for key in keys if key is not None))
        return self._peft(**inputs, adapter_names=[key or BASE for key in keys])

    def _load(self, where: str, folder: Path, key: str) -> None:
        from peft import PeftModel  # takes a second to import, which rows without adapters do not spend

        how: dict[str, Any] = {"autocast_adapter_dtype": False, "local_files_only": True}
        try:
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self._base, folder, key, **how)
            else:
                self._peft.load_adapter(folder, key, **how)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(f"{where}: does not fit the model: {str(error).splitlines()[0][:300]}") from None

    def _switch(self, key: str | None) -> None:
        if key == self._active and self._active is not None:
            return
        if key is None:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(key, inference_mode=True)
        self._active = key
