"""One choice of one request, from tokens to pieces: characters, stop strings, reading; knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.llm.backend import Advance, Tokenizer, TokenReport
from gateway.engines.llm.detokenize import Detokenizer
from gateway.engines.llm.output import Reader
from gateway.engines.llm.stops import Stops
from gateway.tasks import Piece
from gateway.tasks.pieces import TokenLogprob


class ChoiceStream:
    """The choice at `index` of `request`; `push` the tokens of a step, then `gain` what their text gives."""

    def __init__(self, request: int, index: int, tokenizer: Tokenizer, reader: Reader, stop: Sequence[str]) -> None:
        self.request = request
        self.index = index
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer.decode)
        self._reader = reader
        self._stops = Stops(stop)

    def push(self, advance: Advance) -> list[int]:
        """Add the tokens of a step, of which a stop token has no text; the ids whose decoding `gain` wants."""
        stopped = advance.finish_reason == "stop"
        return self._detokenizer.push(advance.tokens[:-1] if stopped else advance.tokens)

    def gain(self, advance: Advance, decoded: str) -> Piece | None:
        """What the step gives a caller, if anything; a piece with a finish reason is the last."""
        text = self._stops.feed(self._detokenizer.text(decoded))
        reason = "stop" if self._stops.found is not None else advance.finish_reason
        if reason is not None and self._stops.found is None:
            text += self._stops.rest()
        piece = self._reader.feed(text) if text else Piece()
        if reason is not None:
            piece = _joined(piece, self._reader.end(reason))
        piece.index = self.index
        piece.stop = self._stops.found
        piece.logprobs = self._reported(advance.reports)
        changed = piece.text or piece.reasoning or piece.tool_calls or piece.logprobs or piece.finish_reason
        return piece if changed else None

    def _reported(self, reports: Sequence[TokenReport]) -> list[TokenLogprob]:
        if not reports:
            return []
        ids = [[id] for report in reports for id in (report.token, *(id for id, _ in report.top))]
        texts = iter(self._tokenizer.decode(ids, special=True))
        return [
            TokenLogprob(next(texts), report.logprob, [(next(texts), logprob) for _, logprob in report.top])
            for report in reports
        ]


def _joined(piece: Piece, end: Piece) -> Piece:
    """One piece for the last text and the end of its reading."""
    piece.text += end.text
    piece.reasoning += end.reasoning
    piece.tool_calls += end.tool_calls
    piece.finish_reason = end.finish_reason
    return piece
