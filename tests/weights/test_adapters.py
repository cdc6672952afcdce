"""LoRA adapters of a row: pulled with it, refused like weights and by their own bounds, found on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.weights.adapters import MAX_SIZE_BYTES
from gateway.weights.errors import WeightsMissing, WeightsRefused
from gateway.weights.progress import Silent
from gateway.weights.store import Store
from tests.weights.conftest import row
from tests.weights.server import Site

TENSORS = (2).to_bytes(8, "little") + b"{}"
CONFIG = {"peft_type": "LORA", "r": 8}


def adapter(folder: Path, config: Any = CONFIG, **files: bytes | None) -> Path:
    folder.mkdir(parents=True)
    files = {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": TENSORS} | files
    for name, content in files.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def base(folder: Path) -> str:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(TENSORS)
    return f"file:{folder}"


def test_a_pull_brings_the_adapters_and_the_row_says_where_they_are(store: Store, site: Site, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in adapter(tmp_path / "hub-adapter").iterdir()}
    site.add_repository("org/tune", {**files, "README.md": b"not needed"})
    local = adapter(tmp_path / "own")
    spec = row(base(tmp_path / "base"), loras={"tune": "hf:org/tune@main", "own": f"file:{local}"})
    with pytest.raises(WeightsMissing, match=r"adapter tune of @local/tiny .*pull @local/tiny`"):
        store.resolved(spec)
    store.pull(spec, Silent())
    found = store.resolved(spec).loras
    assert found["own"] == f"file:{local}"
    pulled = Path(found["tune"].removeprefix("file:"))
    assert sorted(path.name for path in pulled.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert store.verify(spec) == []
    (pulled / "adapter_model.safetensors").write_bytes(TENSORS + b"x")
    assert "(loras.tune)" in store.verify(spec)[0]
    assert store.remove(spec) > 0
    assert not pulled.exists()
    assert local.exists()


@pytest.mark.parametrize(
    ("config", "files", "fault"),
    [
        (CONFIG, {"adapter_model.safetensors": None}, "there is no adapter_model.safetensors"),
        (CONFIG, {"adapter_config.json": None}, "there is no adapter_config.json"),
        (CONFIG, {"adapter_model.bin": b"pickle"}, "adapter_model.bin may be a pickle"),
        (CONFIG, {"adapter_model.safetensors": b"PK\x03\x04"}, "not a safetensors file"),
        (CONFIG | {"auto_map": {}}, {}, "auto_map"),
        (CONFIG | {"r": 33}, {}, "its rank is 33, it may be from 1 to 32"),
        (CONFIG | {"rank_pattern": {"q_proj": 64}}, {}, "its rank is 64"),
        (CONFIG | {"peft_type": "IA3"}, {}, "not a LoRA adapter, but IA3"),
        ({"peft_type": "LORA"}, {}, "does not say a rank"),
        ([], {}, "does not say a rank"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused(
    store: Store, tmp_path: Path, config: Any, files: dict[str, bytes | None], fault: str
) -> None:
    spec = row(base(tmp_path / "base"), loras={"own": f"file:{adapter(tmp_path / 'own', config, **files)}"})
    with pytest.raises(WeightsRefused) as refusal:
        store.pull(spec, Silent())
    assert fault in refusal.value.detail
    assert "(loras.own)" in refusal.value.detail


def test_a_large_adapter_is_refused_by_its_size(store: Store, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "own")
    with (folder / "adapter_model.safetensors").open("r+b") as file:
        file.truncate(MAX_SIZE_BYTES + 1)
    with pytest.raises(WeightsRefused, match="the most is 500000000"):
        store.pull(row(base(tmp_path / "base"), loras={"own": f"file:{folder}"}), Silent())
