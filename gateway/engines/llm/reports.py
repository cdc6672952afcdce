"""Tells the log probabilities of tokens in the texts and bytes of the tokens; knows no model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from gateway.engines.llm.backend import Tokenizer, TokenReport
from gateway.tasks.pieces import RatedToken, TokenLogprob


class Reporter:
    """Words for the reports of one model. A token is what its bytes spell, so that those of a text join to the text.

    Only where `bytes_of` knows none is the tokenizer asked, which may leave out spaces and shows parts of characters as
    one sign.
    """

    def __init__(self, tokenizer: Tokenizer, bytes_of: Callable[[int], bytes | None]) -> None:
        self._tokenizer = tokenizer
        self._bytes_of = bytes_of

    def told(self, reports: Sequence[TokenReport]) -> list[TokenLogprob]:
        """The same reports, for callers."""
        return [self._told(report) for report in reports]

    def _told(self, report: TokenReport) -> TokenLogprob:
        return self._rated(report.token, report.logprob).among([self._rated(*rival) for rival in report.top])

    def _rated(self, token: int, logprob: float) -> RatedToken:
        data = self._bytes_of(token)
        if data is not None:
            return RatedToken.of(data, logprob)
        return RatedToken(self._tokenizer.decode([[token]], special=True)[0], logprob)


class Reports:
    """The reports of one stream. With `waits` its text may be held back, or be the beginning of a stop string.

    A report then comes with the first text of its token, and that of a token which is no part of the text never does.
    """

    def __init__(self, reporter: Reporter, *, waits: bool) -> None:
        self._reporter = reporter
        self._waits = waits
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        self._begins_at_bytes = self._said_bytes = 0

    def told(self, reports: Sequence[TokenReport], text: str, *, is_whole: bool) -> list[TokenLogprob]:
        """Those to tell with `text`, the next that is certain, after `reports`; all once the text `is_whole`."""
        new = self._reporter.told(reports)
        if not self._waits:
            return new
        for report in new:
            self._waiting.append((self._begins_at_bytes, report))
            self._begins_at_bytes += len(report.known_bytes() or report.token.encode())
        self._said_bytes += len(text.encode())
        told = []
        while self._waiting and (is_whole or self._waiting[0][0] < self._said_bytes):
            told.append(self._waiting.popleft()[1])
        return told
