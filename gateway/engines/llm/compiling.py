"""When the next grammar may be compiled, which holds up the pass of all streams; knows no grammar but its cost."""

from __future__ import annotations

from gateway.engines.llm.ebnf import Grammar

# A wide state takes about 5 ms on one core with 50,000 tokens, a pass of a small model about twice that.
FREE_STATES = 64
STATES_A_PASS = 4
MOST_KNOWN = 4096


class Compiling:
    """Spreads the compiling of grammars over passes.

    Of new grammars with together more than `FREE_STATES` wide states, each has a pass for itself, and the streams
    beside it make a pass for every `STATES_A_PASS` of them before the next. Grammars that were seen before are in
    the library's cache and cost nothing.
    """

    def __init__(self) -> None:
        self._owed = 0
        self._known: dict[str, None] = {}

    def knows(self, grammar: Grammar) -> bool:
        """Whether it was begun before, of the last `MOST_KNOWN`."""
        return grammar.text in self._known

    def has_room(self, grammar: Grammar) -> bool:
        """Whether it may be compiled in the next pass, with streams beside it."""
        return not self._owed or self._owed + grammar.wide_states <= FREE_STATES

    def begin(self, grammar: Grammar) -> None:
        """It is compiled in the next pass."""
        if not self.knows(grammar):
            self._owed += grammar.wide_states
            self._known[grammar.text] = None
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]

    def passed(self) -> None:
        """The streams made a pass."""
        self._owed = max(0, self._owed - STATES_A_PASS)
