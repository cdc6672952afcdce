"""Holds streams' tokens to their constraints with llguidance; knows no model and no sampling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from gateway.engines.llm.constraint import Constraint, Json
from gateway.engines.llm.lark import grammar_of, schema_text, schemas
from gateway.errors import BadInput, GatewayError, JsonModeUnsupported

MAX_COMPILED = 32
REASON_CHARACTERS = 200
# They end the compilation of an intricate grammar within a fraction of a second and some tens of megabytes.
LIMITS = LLParserLimits(
    initial_lexer_fuel=500_000,
    step_lexer_fuel=200_000,
    max_lexer_states=20_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)


class Grammars:
    """Compiled constraints for one vocabulary, the last used of which are kept."""

    def __init__(self, vocabulary: LLTokenizer | None) -> None:
        self._vocabulary = vocabulary
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def bytes_of(self, token: int) -> bytes | None:
        """What a token adds to a text, a special one by its name; None without a vocabulary."""
        if self._vocabulary is None:
            return None
        # It marks special tokens by the byte 255, and leaves that out of the token of this byte alone.
        return bytes(self._vocabulary.decode_bytes([token])) or b"\xff"

    def start(self, constraint: Constraint, markers: Mapping[int, str] | None = None) -> LLMatcher:
        """A matcher at the beginning of `constraint`, in which `markers` are tokens by the text that they stand for.

        Raises `BadInput` naming the field with a schema that cannot be held to, and `JsonModeUnsupported` without a
        vocabulary.
        """
        if self._vocabulary is None:
            raise JsonModeUnsupported
        special = {name: id for id, name in (markers or {}).items() if self._vocabulary.is_special_token(id)}
        text = grammar_of(constraint, special)
        if text not in self._compiled:
            self._compiled[text] = _compile(constraint, text, self._vocabulary)
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(text)
        return self._compiled[text].deep_copy()


def forbidden(
    matchers: Mapping[int, LLMatcher], width: int
) -> tuple[dict[int, NDArray[np.bool_]], dict[int, GatewayError]]:
    """By row, which of `width` tokens its matcher does not allow now.

    A row that no token is left for has none of this, but the error that ends its stream.
    """
    masks: dict[int, NDArray[np.bool_]] = {}
    faults: dict[int, GatewayError] = {}
    for row, matcher in matchers.items():
        words = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        mask = np.unpackbits(~words, count=width, bitorder="little").view(np.bool_)
        if matcher.is_error() or mask.all():
            faults[row] = _fault("/response_format", matcher)
        else:
            masks[row] = mask
    return masks, faults


def forced(matcher: LLMatcher | None) -> list[int]:
    """The next tokens, as far as the constraint leaves no choice; none without one."""
    return [] if matcher is None or matcher.is_stopped() else list(matcher.compute_ff_tokens())


def _compile(constraint: Constraint, text: str, vocabulary: LLTokenizer) -> LLMatcher:
    if not isinstance(constraint, Json):
        for schema in schemas(constraint):
            _ready(LLMatcher.grammar_from_json_schema(schema_text(schema)), vocabulary, schema.field)
        return _ready(LLMatcher.grammar_from_lark(text), vocabulary, "/")
    return _ready(LLMatcher.grammar_from_json_schema(schema_text(constraint)), vocabulary, constraint.field)


def _ready(grammar: str, vocabulary: LLTokenizer, field: str) -> LLMatcher:
    """The matcher of a grammar, which is known to allow something."""
    matcher = LLMatcher(vocabulary, grammar, log_level=0, limits=LIMITS)
    if matcher.is_error():
        raise _fault(field, matcher)
    first = matcher.deep_copy()
    if not any(first.compute_bitmask()) or first.is_error():
        raise _fault(field, first)
    return matcher


def _fault(field: str, matcher: LLMatcher) -> BadInput:
    lines = matcher.get_error().replace("<non-verbose/>", "").strip().splitlines()
    reason = lines[0] if lines and lines[0] != "NoExtensionBias" else "no JSON can satisfy it"
    # What is wrong with a pattern stands under a drawing of where.
    reason = " ".join([reason, *(line.removeprefix("error: ") for line in lines if line.startswith("error: "))])
    return BadInput(f"'{field}' cannot be kept to: {reason[:REASON_CHARACTERS]}")
