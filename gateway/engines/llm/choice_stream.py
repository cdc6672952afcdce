"""One choice of one request, from tokens to pieces: characters, stop strings, reading; knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.backend import Advance, Tokenizer
from gateway.engines.llm.detokenize import Detokenizer
from gateway.engines.llm.prompting import Plan
from gateway.engines.llm.reports import Reporter, Reports
from gateway.engines.llm.stops import Stops
from gateway.tasks import Piece


class ChoiceStream:
    """The choice at `index` of `request`; `push` the tokens of a step, then `gain` what their text gives.

    Special tokens have no text but for the plan's markers, which its reader wants to see.
    """

    def __init__(
        self, request: int, index: int, tokenizer: Tokenizer, reporter: Reporter, plan: Plan, stop: Sequence[str]
    ) -> None:
        self.request = request
        self.index = index
        self._tokenizer = tokenizer
        self._reports = Reports(reporter, waits=bool(stop))
        self._detokenizer = Detokenizer(tokenizer.decode)
        self._markers = plan.markers
        self._marked = ""
        self._reader = plan.reader()
        self._stops = Stops(stop)

    def push(self, advance: Advance) -> list[int]:
        """Add the tokens of a step, of which a stop token has no text; the ids whose decoding `gain` wants."""
        tokens = advance.tokens[:-1] if advance.finish_reason == "stop" else advance.tokens
        if self._markers:
            tokens = self._after_markers(tokens)
        return self._detokenizer.push(tokens)

    def _after_markers(self, tokens: list[int]) -> list[int]:
        """Those after the last marker. What comes before it is kept as text; few steps have one."""
        start = 0
        for at, token in enumerate(tokens):
            if token in self._markers:
                (decoded,) = self._tokenizer.decode([self._detokenizer.push(tokens[start:at])])
                self._marked += self._detokenizer.text(decoded) + self._markers[token]
                self._detokenizer = Detokenizer(self._tokenizer.decode)
                start = at + 1
        return tokens[start:]

    def gain(self, advance: Advance, decoded: str) -> Piece | None:
        """What the step gives a caller, if anything; a piece with a finish reason is the last."""
        text = self._stops.feed(self._marked + self._detokenizer.text(decoded))
        self._marked = ""
        reason = "stop" if self._stops.found is not None else advance.finish_reason
        if reason is not None and self._stops.found is None:
            text += self._stops.rest()
        piece = self._reader.feed(text) if text else Piece()
        if reason is not None:
            piece = _joined(piece, self._reader.end(reason))
        piece.index = self.index
        piece.stop = self._stops.found
        piece.logprobs = self._reports.told(
            # The token that ends a turn is no part of what is said.
            advance.reports[: len(advance.tokens) - (advance.finish_reason == "stop")],
            text,
            is_whole=reason is not None and self._stops.found is None,
        )
        changed = piece.text or piece.reasoning or piece.tool_calls or piece.logprobs or piece.finish_reason
        return piece if changed else None


def _joined(piece: Piece, end: Piece) -> Piece:
    """One piece for the last text and the end of its reading."""
    piece.text += end.text
    piece.reasoning += end.reasoning
    piece.tool_calls += end.tool_calls
    piece.finish_reason = end.finish_reason
    return piece
