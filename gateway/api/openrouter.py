"""Models in the form that OpenRouter's marketplace reads (`format=openrouter`); knows no route."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from gateway.config import ModelSpec
from gateway.runtime.model import Model

TASK = "text-generation"
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "stop",
)
_QUANTIZATIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "int8": "int8"}


def offer_document(model: Model) -> dict[str, Any]:
    """One model as a marketplace's item: prices are US dollars for one token, in decimal notation."""
    spec, properties = model.spec, model.spec.properties
    document: dict[str, Any] = {
        "id": spec.name,
        "name": spec.name.rpartition("/")[2],
        "description": spec.description,
        "hugging_face_id": _hub_id(spec),
        "input_modalities": ["text", "image"] if properties.vision else ["text"],
        "output_modalities": ["text"],
        "quantization": _QUANTIZATIONS.get(spec.dtype, "unknown"),
        "pricing": {"prompt": _per_token(spec, "input"), "completion": _per_token(spec, "output")},
        "supported_sampling_parameters": [name for name in _SAMPLING if name in model.task.input.model_fields],
        "supported_features": [
            feature
            for feature, has in (("tools", properties.function_calling), ("reasoning", properties.reasoning))
            if has
        ],
    }
    if spec.created_at is not None:
        document["created"] = int(datetime.combine(spec.created_at, time(), UTC).timestamp())
    if spec.context_window is not None:
        document["context_length"] = document["max_output_length"] = spec.context_window
    if properties.planned_deprecation_date is not None:
        document["deprecation_date"] = properties.planned_deprecation_date.isoformat()
    return document


def _hub_id(spec: ModelSpec) -> str:
    source = spec.source or ""
    return source.removeprefix("hf:").partition("@")[0] if source.startswith("hf:") else ""


def _per_token(spec: ModelSpec, kind: str) -> str:
    """What one token costs, by the price for a million of them; "0" if the row has none in dollars."""
    unit = f"per M {kind} tokens"
    prices = (price for price in spec.properties.price if price.unit == unit and price.currency == "USD")
    found = next(prices, None)
    return f"{Decimal(str(found.price)) / 1_000_000:f}" if found is not None else "0"
