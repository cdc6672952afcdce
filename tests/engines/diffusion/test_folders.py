"""Folders of diffusers: which are taken, and what is said of those that are not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gateway.config import ConfigError
from tests import tiny_diffusion
from tests.engines.diffusion.drawing import (
    answers,
    assert_alike,
    engine,
    with_index,
)

# diffusers' Euler schedulers, as numpy 2 sees them.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def test_half_precision_files_are_taken_if_there_are_no_others(tmp_path: Path, xl: Path) -> None:
    halves = tiny_diffusion.stable_diffusion_xl(tmp_path / "xl", variant="fp16")
    assert not (halves / "unet" / "diffusion_pytorch_model.safetensors").exists()
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 2}
    assert_alike(answers(engine(halves), asked)[0], answers(engine(xl), asked)[0])


def renamed(folder: Path, part: str, file: str, *names: tuple[str, str], **more: torch.Tensor) -> None:
    """Give the tensors of a part the names that match the second of each pair in place of the first."""
    tensors = {}
    for name, tensor in load_file(folder / part / file).items():
        for pattern, former in names:
            name = re.sub(pattern, former, name)
        tensors[name] = tensor
    assert tensors.keys() != load_file(folder / part / file).keys()
    save_file(tensors | more, folder / part / file, metadata={"format": "pt"})


def test_tensors_are_found_under_the_names_they_were_published_with(tmp_path: Path, sd: Path) -> None:
    old = shutil.copytree(sd, tmp_path / "old")
    attention = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
    pairs = [(rf"attentions\.0\.{new}\.", f"attentions.0.{former}.") for new, former in attention]
    renamed(old, "vae", "diffusion_pytorch_model.safetensors", *pairs)
    positions = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    renamed(old, "text_encoder", "model.safetensors", ("^", "text_model."), **positions)
    asked = {"prompt": "a cat", "seed": 1, "num_steps": 2}
    assert_alike(answers(engine(old), asked)[0], answers(engine(sd), asked)[0], levels=0)


def without_a_tensor(folder: Path, part: str, file: str) -> None:
    tensors = load_file(folder / part / file)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, folder / part / file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda f: (f / "model_index.json").unlink(), "not a folder of diffusers"),
        (lambda f: (f / "model_index.json").write_text("[]"), "model_index.json is not a JSON object"),
        (lambda f: with_index(f, _class_name="EvilPipeline"), "no pipeline for 'EvilPipeline'"),
        (lambda f: with_index(f, unet=["pipeline_evil", "Unet"]), "unet is of an unknown kind, pipeline_evil.Unet"),
        (lambda f: with_index(f, unet=["diffusers", "load_numpy"]), "unet is of an unknown kind"),
        (lambda f: shutil.rmtree(f / "vae"), "names the part vae, which is not among the files"),
        (lambda f: without_a_tensor(f, "unet", "diffusion_pytorch_model.safetensors"), "unet: the weights do not fit"),
        (lambda f: without_a_tensor(f, "text_encoder", "model.safetensors"), "text_encoder: the weights do not fit"),
    ],
)
def test_a_folder_that_is_not_whole_is_named(sd: Path, tmp_path: Path, spoil: Any, text: str) -> None:
    folder = shutil.copytree(sd, tmp_path / "model")
    spoil(folder)
    with pytest.raises(ConfigError, match=text):
        engine(folder)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scheduler": "FluxPipeline"}, r"options\.scheduler: diffusers has no scheduler 'FluxPipeline'"),
        ({"scheduler": "os"}, r"options\.scheduler: diffusers has no scheduler 'os'"),
        ({"fixed": ["steps"]}, "steps cannot be fixed without a value"),
        ({"stepps": 3}, r"options\.stepps"),
    ],
)
def test_wrong_options_are_named(sd: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        engine(sd, options=options)
