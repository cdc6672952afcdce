"""Engines that read plain weights through transformers read quantized ones alike, or say why not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from gateway.config import ConfigError, ModelSpec
from gateway.engines.base import engine_class
from gateway.engines.precision import Precision
from gateway.engines.pretrained import load_pretrained
from gateway.engines.quantization_methods import obstacle
from gateway.tasks import TASKS
from gateway.weights.quantization import read_quantization
from tests import tiny, tiny_quantized

PLACE = Precision("cpu", "bfloat16")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sequence_classifier(tmp_path_factory.mktemp("classifier"), ("NEGATIVE", "POSITIVE"))


def copy(files: Path, folder: Path, quantization: dict[str, Any]) -> Path:
    return tiny_quantized.declare(shutil.copytree(files, folder), quantization)


def test_a_classifier_in_fp8_is_read_with_its_scales(classifier: Path, tmp_path: Path) -> None:
    files = copy(classifier, tmp_path / "files", {"quant_method": "fp8", "weight_block_size": [16, 16]})
    held = load_file(files / "model.safetensors")
    name = "distilbert.transformer.layer.0.ffn.lin1.weight"
    packed = held[name].mul(64).to(torch.float8_e4m3fn)
    scales = torch.full((packed.shape[0] // 16, packed.shape[1] // 16), 2.0**-6)
    tiny_quantized.rewrite(files, held | {name: packed, f"{name}_scale_inv": scales})
    model = load_pretrained(AutoModelForSequenceClassification, files, PLACE)
    assert torch.equal(model.get_parameter(name), (packed.float() / 64).bfloat16())
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("task", "engine", "message"),
    [
        (
            "text-classification",
            "classifier",
            "quantized as awq, which cannot be read here: it needs gptqmodel: pip in",
        ),
        ("text-embeddings", "embedder", "quantized as awq, which cannot be read here: it needs gptqmodel: pip install"),
    ],
)
def test_other_engines_say_what_is_missing(
    classifier: Path, tmp_path: Path, task: str, engine: str, message: str
) -> None:
    files = classifier if engine == "classifier" else tiny.sentence_encoder(tmp_path / "encoder")
    files = copy(files, tmp_path / "files", {"quant_method": "awq", "bits": 4})
    row = ModelSpec.model_validate({"name": "m", "task": task, "engine": engine, "device": "cpu"})
    with pytest.raises(ConfigError, match=message):
        engine_class(engine)(row, TASKS.get(task), files)


def test_an_embedder_takes_plain_weights_only(tmp_path: Path) -> None:
    files = tiny_quantized.declare(tiny.sentence_encoder(tmp_path), {"quant_method": "fp8"})
    row = ModelSpec.model_validate({"name": "m", "task": "text-embeddings", "engine": "embedder", "device": "cpu"})
    with pytest.raises(ConfigError, match="as fp8, which cannot be read here: models of this kind are read from plain"):
        engine_class("embedder")(row, TASKS.get("text-embeddings"), files)


@pytest.mark.parametrize(
    ("capability", "message"),
    [
        (None, "it needs a CUDA device of compute capability 9.0"),
        ((8, 9), "it needs a CUDA device of compute capability 9.0"),
        ((9, 0), "it needs fbgemm-gpu: pip install fbgemm-gpu"),
    ],
)
def test_a_method_for_gpus_names_the_least_that_will_do(
    classifier: Path, tmp_path: Path, capability: tuple[int, int] | None, message: str
) -> None:
    files = copy(classifier, tmp_path / "files", {"quant_method": "fbgemm_fp8"})
    said = obstacle(files, read_quantization(files), capability)
    assert said == f"the weights are quantized as fbgemm_fp8, which cannot be read here: {message}"
