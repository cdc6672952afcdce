"""Pydantic's findings in the words of Cloudflare's schema validator (docs/api.md)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.errors import BadBase64, BadInput, GatewayError, InvalidParameter

# How the address of a file begins; base64 never does.
ADDRESS = re.compile(r"https?:", re.IGNORECASE)
_EXPECTED = {
    "string_type": "string",
    "int_type": "integer",
    "int_from_float": "integer",
    "int_parsing": "integer",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "bytes_type": "array",
}


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case bytes():
            return "binary"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def _bound(value: float) -> str:
    """A bound without the `.0` of whole floats and without an exponent."""
    return str(int(value)) if float(value).is_integer() else str(value)


def _pointer(location: Iterable[int | str]) -> str:
    """A JSON pointer; parts in angle brackets are tags of unions and no part of the document."""
    return "/" + "/".join(str(part) for part in location if not str(part).startswith("<"))


def _missing(errors: list[ErrorDetails]) -> str:
    parents: dict[str, list[str]] = {}
    for error in errors:
        parents.setdefault(_pointer(error["loc"][:-1]), []).append(str(error["loc"][-1]))
    return ", ".join(f"required properties at '{at}' are '{','.join(names)}'" for at, names in parents.items())


def _phrase(error: ErrorDetails) -> str:
    where, kind = _pointer(error["loc"]), error["type"]
    context = error.get("ctx", {})
    if kind in _EXPECTED:
        return f"Type mismatch of '{where}', '{_json_type(error['input'])}' not in '{_EXPECTED[kind]}'"
    match kind:
        case "greater_than_equal":
            return f"'{where}' must be >= {_bound(context['ge'])}"
        case "greater_than":
            return f"'{where}' must be > {_bound(context['gt'])}"
        case "less_than_equal":
            return f"'{where}' must be <= {_bound(context['le'])}"
        case "string_too_short" | "too_short" | "bytes_too_short":
            return f"Length of '{where}' must be >= {context['min_length']}"
        case "string_too_long" | "too_long" | "bytes_too_long":
            return f"Length of '{where}' must be <= {context['max_length']}"
        case "literal_error":
            return f"'{where}' must be one of {context['expected']}"
        case "finite_number":
            return f"'{where}' must be a finite number"
        case "sentence":
            return error["msg"]
        case "schema" | "parameter":
            return f"'{where}': {error['msg']}" if error["loc"] else error["msg"]
        case _:
            return f"'{where}' {error['msg'][:200]}"


def to_error(error: ValidationError) -> GatewayError:
    """The error that says what pydantic found, without any of the caller's values.

    It is `BadInput`, or for some findings `BadBase64` or `InvalidParameter`.
    """
    found = error.errors(include_url=False)
    for item in found:
        if item["type"] == "base64":
            return BadBase64(item["ctx"]["type"])
        if item["type"] == "parameter":
            return InvalidParameter(_phrase(item))
    missing = [item for item in found if item["type"] == "missing"]
    phrases = [_missing(missing)] if missing else []
    phrases += [_phrase(item) for item in found[:8] if item["type"] != "missing"]
    return BadInput(", ".join(phrases))


def schema_error(text: str) -> PydanticCustomError:
    """An error for validators to raise whose text goes to the caller as it stands."""
    return PydanticCustomError("schema", "{text}", {"text": text})


def parameter_error(text: str) -> PydanticCustomError:
    """Like `schema_error`, for a value that the service's own schema lets pass and its models refuse."""
    return PydanticCustomError("parameter", "{text}", {"text": text})


def sentence_error(text: str) -> PydanticCustomError:
    """Like `schema_error`, for a text that names the field itself."""
    return PydanticCustomError("sentence", "{text}", {"text": text})


def _whole(value: Any) -> Any:
    """A whole float as an integer; one beyond 64 bits, which JSON brings as a float, cannot be told to a worker."""
    if not isinstance(value, float) or not value.is_integer():
        return value
    if abs(value) >= 2**63:
        raise schema_error("an integer of more than 64 bits")
    return int(value)


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Integer = Annotated[int, Strict(), BeforeValidator(_whole)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Boolean = Annotated[bool, Strict(), BeforeValidator(_boolean)]
Text = Annotated[str, Strict()]


def bytes_of_numbers(value: Any) -> Any:
    """JSON integers 0–255 as bytes; anything else is left for the type check to refuse."""
    if isinstance(value, list):
        try:
            return bytes(value)
        except (ValueError, TypeError, OverflowError):
            raise schema_error("the items of a byte array must be integers from 0 to 255") from None
    if isinstance(value, str):
        raise schema_error("a byte array must be an array of integers from 0 to 255, not 'string'")
    return value


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text (RFC 4648, padding optional; line breaks as in RFC 2045); raises `ValueError`."""
    if "\n" in text:  # as `base64` and `openssl` write it
        text = "".join(text.split())
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def bytes_of_base64(value: Any) -> Any:
    """Base64 text, plain or as a data URI, as bytes."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("base64", "not base64", {"type": _json_type(value)})
    if ADDRESS.match(value):
        raise schema_error("an address, where the file itself is expected")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return decode_base64(text)
    except ValueError:
        raise PydanticCustomError("base64", "not base64", {"type": "string"}) from None


def not_empty(value: bytes) -> bytes:
    """`value`, unless it is empty."""
    if not value:
        raise schema_error("the media must not be empty")
    return value


ByteArray = Annotated[
    bytes,
    BeforeValidator(bytes_of_numbers),
    AfterValidator(not_empty),
    WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}),
]
Base64 = Annotated[
    bytes,
    BeforeValidator(bytes_of_base64),
    AfterValidator(not_empty),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
