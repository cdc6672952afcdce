"""The engine takes the backend that fits weights and machine, and says what is wrong with a row."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError
from gateway.engines.base import StreamEngine, engine_class
from gateway.engines.llm import Engine
from tests import tiny
from tests.engines.llm.streams import ask, load


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.chat_model(tmp_path_factory.mktemp("tiny"))


def test_the_name_in_a_row_finds_the_engine() -> None:
    assert engine_class("llm") is Engine
    assert issubclass(Engine, StreamEngine)


def test_the_engine_can_be_imported_without_any_model_library() -> None:
    libraries = ("openvino_genai", "openvino", "torch", "transformers")
    code = f"import sys; sys.modules.update(dict.fromkeys({libraries})); import gateway.engines.llm"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_safetensors_go_to_transformers_and_the_log_says_why(
    tiny_files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.engines.llm")
    load(tiny_files)
    assert "backend transformers for safetensors weights; not openvino: it reads GGUF" in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"backend": "llama"}}, "row @local/chat: options.backend: Input should be 'auto'"),
        ({"options": {"beckend": "auto"}}, "row @local/chat: options.beckend: Extra inputs are not permitted"),
        ({"options": {"kv_cache_gib": 0}}, "row @local/chat: options.kv_cache_gib: Input should be greater"),
        ({"options": {"backend": "openvino"}}, "openvino cannot be used: it reads GGUF and its own form"),
        ({"options": {"tool_format": "xml"}}, "row @local/chat: options.tool_format: Input should be 'auto'"),
        ({"options": {"tool_format": "declared"}}, "row @local/chat: options.tool_format: the tokenizer of these"),
        ({"options": {"reasoning_format": "r1"}}, "row @local/chat: options.reasoning_format: Input should be 'auto'"),
        ({"dtype": "int8"}, "dtype: int8 is not one of float32"),
    ],
)
def test_a_row_that_cannot_be_served_names_its_field(tiny_files: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tiny_files, **fields)
    assert message in caught.value.detail


def test_a_model_whose_template_knows_no_tools_can_be_asked_all_the_same(tiny_files: Path) -> None:
    tool = {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "now", "arguments": {}}]}
    asked = [{"role": "user", "content": "When?"}, call, {"role": "tool", "content": "12:00"}]
    told = ask(load(tiny_files), messages=asked, tools=[tool], max_tokens=3, temperature=0)
    assert told.usage is not None
    assert told.usage.completion_tokens == 3
    assert told.finish_reason == "length"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "source: holds no GGUF file, OpenVINO model or config.json with safetensors"),
        (("config.json", "pytorch_model.bin"), "source: holds no GGUF file"),
        (("a.gguf", "b.gguf"), r"several GGUF files \(a.gguf, b.gguf\): name one of them"),
    ],
)
def test_a_folder_without_usable_weights_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=message):
        load(tmp_path)
