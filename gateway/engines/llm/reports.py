"""Tells the log probabilities of tokens in the texts and bytes of the tokens; knows no model."""

from __future__ import annotations

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
