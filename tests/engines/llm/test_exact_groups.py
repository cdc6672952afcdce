"""Four-bit weights of converted files, against what the file itself says they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import openvino
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import LlamaFileType as FileType
from openvino import Model, opset13

from gateway.engines.llm import conversion
from gateway.engines.llm.conversion import convert
from gateway.engines.llm.exact_groups import _width
from gateway.engines.llm.product_names import Product, find_products
from tests import tiny_gguf
from tests.engines.llm.gguf_weights import IN_FILE, meant, tensors_of
from tests.tiny_gguf import Pack

HIDDEN = 256
HEADS = {"heads": tiny_gguf.HEADS, "kv_heads": tiny_gguf.HEADS}
# So that activations are not rounded: what is left are the weights.
EXACT = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "INFERENCE_PRECISION_HINT": "f32"}


def above_zero(values: np.ndarray) -> np.ndarray:
    """Here and there groups whose zero is no weight."""
    moved = values.astype(np.float32)
    moved[::7, :64] += 2
    return gguf.quantize(moved, Kind.Q4_1)


def of_chance(values: np.ndarray) -> np.ndarray:
    """Blocks of Q4_K, which the package only reads."""
    rows, columns = values.shape
    blocks = np.random.default_rng(rows).integers(0, 256, (rows * columns // 256, 144)).astype(np.uint8)
    blocks[:, :4] = np.array([0.001, 0.006], np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


PACKS = {
    "q4_1": Pack(Kind.Q4_1, FileType.MOSTLY_Q4_1, lambda values: gguf.quantize(values.astype(np.float32), Kind.Q4_1)),
    "q4_1 above zero": Pack(Kind.Q4_1, FileType.MOSTLY_Q4_1, above_zero),
    "q4_k": Pack(Kind.Q4_K, FileType.MOSTLY_Q4_K_M, of_chance),
    "q8_0": Pack(Kind.Q8_0, FileType.MOSTLY_Q8_0, lambda values: gguf.quantize(values.astype(np.float32), Kind.Q8_0)),
}


def given(folder: Path, module: str, rows: Any) -> Any:
    """What the product of a module gives for these inputs."""
    product: Product = find_products(openvino.Core().read_model(folder / "openvino_model.xml"))[module]
    source = opset13.parameter([-1, -1, product.inputs], np.float32)
    for reader in product.source.get_target_inputs():
        reader.replace_source_output(source.output(0))
    model = Model([opset13.result(product.given)], [source])
    return openvino.Core().compile_model(model, "CPU", EXACT)(rows[None])[0][0]


@pytest.mark.parametrize("doubled", [True, False], ids=["in eight bits", "in four bits"])
@pytest.mark.parametrize("pack", PACKS)
def test_weights_begin_where_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str, doubled: bool
) -> None:
    monkeypatch.setattr(conversion, "SMALL_BYTES", 1 << 40 if doubled else 0)
    file = tiny_gguf.chat_gguf(tmp_path / "model.gguf", hidden=HIDDEN, pack=PACKS[pack])
    folder = tmp_path / "converted"
    folder.mkdir()
    convert(file, folder)
    chance, tensors = np.random.default_rng(3), tensors_of(file)
    for module in IN_FILE:
        name = f"model.layers.1.{module}"
        weights = meant(tensors, name, **HEADS)
        rows = 1 + chance.standard_normal((3, weights.shape[1])).astype(np.float32)
        expected = rows @ weights.T
        error = np.sqrt(np.mean((given(folder, name, rows) - expected) ** 2) / np.mean(expected**2))
        assert error < 0.03, name


@pytest.mark.parametrize(
    ("inputs", "width"), [(64, 64), (576, 576), (1024, 1024), (1536, 192), (2048, 128), (11_008, 128), (1056, 96)]
)
def test_long_rows_have_more_than_one_scale(inputs: int, width: int) -> None:
    """Of 32 inputs as the file has them, as many groups as fit into the row and into 192."""
    assert _width(inputs, 32) == width


def test_without_their_minima_weights_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mended is there to be mended; once the library mends it, this module can go."""
    monkeypatch.setattr(conversion, "make_exact", lambda *_, **__: 0)
    file = tiny_gguf.chat_gguf(tmp_path / "model.gguf", hidden=HIDDEN, pack=PACKS["q4_1"])
    folder = tmp_path / "converted"
    folder.mkdir()
    convert(file, folder)
    rows = np.ones((1, HIDDEN), np.float32)
    name = "model.layers.1.self_attn.v_proj"
    expected = rows @ meant(tensors_of(file), name, **HEADS).T
    assert np.sqrt(np.mean((given(folder, name, rows) - expected) ** 2) / np.mean(expected**2)) > 0.2
