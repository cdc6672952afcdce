"""How many guesses of whose next tokens a pass of few streams is filled up with; knows no page and no graph."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from gateway.engines.llm.guesses import Guess

# The width of passes where there is no other: of a stream alone, and a guess.
ALONE = (2,)
# What a row more adds to the time of a pass of two (measured for 2 to 16 rows: 0.06 to 0.08).
ROW_COST = 0.066


def fill(chains: Sequence[Iterator[Guess]], widths: Sequence[int]) -> list[list[int]]:
    """For each stream its guessed tokens, by its chain of guesses.

    A pass has one row for each stream and one for each guess, together one of the `widths`: that by which most tokens
    are to be expected in a time. None is guessed if there are more streams than the widths have rows.
    """
    taken: list[list[int]] = [[] for _ in chains]
    possible = sorted(width for width in widths if width >= len(chains))
    if not possible or not chains:
        return taken
    order = _likeliest(chains, possible[-1] - len(chains))
    best, most = 0, 0.0
    for width in possible:
        count = width - len(chains)
        tokens = len(chains) + sum(odds for odds, _, _ in order[:count])
        if (gain := tokens / (1 + ROW_COST * (width - 2))) > most:
            best, most = count, gain
    for _, at, token in order[:best]:
        taken[at].append(token)
    return taken


def _likeliest(chains: Sequence[Iterator[Guess]], count: int) -> list[tuple[float, int, int]]:
    """So many guesses, the likeliest first, each behind those before it in its chain: odds, stream and token."""
    order: list[tuple[float, int, int]] = []
    heads = [(-guess.odds, at, guess.token) for at, guess in enumerate(map(next, chains))] if count else []
    heapq.heapify(heads)
    while len(order) < count:
        odds, at, token = heads[0]
        order.append((-odds, at, token))
        guess = next(chains[at])
        heapq.heapreplace(heads, (-guess.odds, at, guess.token))
    return order
