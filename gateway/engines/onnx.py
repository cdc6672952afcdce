"""ONNX graphs on the CPU: opened with a row's threads, quietly; knows no model."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from gateway.config import ConfigError, ModelSpec

_ERRORS = 3  # warnings are about how a graph was exported, which nobody here can change


def open_graph(file: Path, spec: ModelSpec) -> onnxruntime.InferenceSession:
    """The graph in `file`, ready to run; raises `ConfigError` if it is none or the row wants another device."""
    if spec.device not in ("auto", "cpu"):
        raise ConfigError(f"row {spec.name}: device: ONNX graphs run on the cpu here, not on {spec.device}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    options.intra_op_num_threads = spec.threads or 0
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no base but this
        raise ConfigError(f"row {spec.name}: {file.name} is not an ONNX graph that can be run") from error
