"""`gateway doctor` on quantized weights: what this machine lacks for them, unless another server reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from tests.cli.test_doctor import found
from tests.server import write_models
from tests.tiny_quantized import declare

ANOTHER_SERVER = "{command: [vllm, serve, '{files}', --port, '{port}']}"


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("awq", "{}", "as awq, which cannot be read here: it needs gptqmodel: pip install gptqmodel"),
        ("fbgemm_fp8", "{}", "as fbgemm_fp8, which cannot be read here: it needs a CUDA device of compute capability"),
        ("awq", ANOTHER_SERVER, None),
        ("fp8", "{}", None),
    ],
)
def test_weights_in_a_form_that_cannot_be_read_here_are_told(
    tmp_path: Path, home: Path, method: str, options: str, message: str | None
) -> None:
    files = declare(tiny.chat_model(tmp_path / "files"), {"quant_method": method})
    fields = f"task: text-generation, engine: llm, device: cpu, source: 'file:{files}', options: {options}"
    models = write_models(tmp_path / "models.yaml", f"{{name: '@local/packed', {fields}}}")
    finding = found(models, home).get("weights of @local/packed")
    assert (finding is None) == (message is None)
    if finding is not None and message is not None:
        assert finding.level == "fault"
        assert message in finding.text
