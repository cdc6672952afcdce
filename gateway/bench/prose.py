"""English sentences without end, no two alike in a run; knows no task and no model."""

from __future__ import annotations

import random
from collections.abc import Sequence

SUBJECTS = (
    "the old lighthouse keeper", "a young doctor from the north", "my neighbour across the road", "the night train",
    "an engineer with little time", "the baker's eldest daughter", "a retired sea captain", "the committee",
    "the teacher of the small school", "a painter who never slept", "the first visitor of the day", "our guide",
    "the gardener of the palace", "a clock maker's apprentice", "the chief of the fire brigade", "an unknown poet",
)  # fmt: skip
VERBS = (
    "forgot", "repaired", "described", "carried", "found", "sold", "was looking for", "would not give up",
    "wrote a letter about", "painted", "discussed", "remembered", "had never seen", "paid too much for", "hid", "lost",
)  # fmt: skip
OBJECTS = (
    "a wooden boat with a red sail", "the key to the library", "two loaves of fresh bread", "a map of the island",
    "the report on the new bridge", "an expensive violin", "the last bottle of milk", "three boxes of green apples",
    "a photograph of the harbour", "the timetable for the summer", "a very small dog", "the price of the tickets",
    "a story about the war", "the broken kitchen window", "a pair of warm gloves", "the answer to the question",
)  # fmt: skip
PLACES = (
    "in the garden behind the church", "at the railway station", "on the way to the mountains", "near the old mill",
    "in front of the museum", "under the bridge", "between two shelves", "in the middle of the market",
    "on the roof of the hotel", "at the far end of the beach", "beside the frozen river", "in the waiting room",
    "outside the city walls", "in a letter to the newspaper", "on the second floor", "at the edge of the forest",
)  # fmt: skip
TIMES = (
    "before the storm began", "on the first day of spring", "an hour after midnight", "when nobody was watching",
    "during the long winter", "in the year of the great flood", "as the sun went down", "for the third time",
    "just before the doors closed", "after a quiet breakfast", "while the children slept", "on a cold Monday morning",
    "at the end of the season", "long before anyone asked", "two weeks too late", "without saying a word",
)  # fmt: skip
_PARTS: Sequence[Sequence[str]] = (SUBJECTS, VERBS, OBJECTS, PLACES, TIMES)


class Prose:
    """The same texts for the same seed. Each begins with a page number that no other text of the run begins with.

    So nothing that a server has kept of an earlier prompt helps it with a later one. How long a text is depends on its
    number alone: runs with different seeds are equally heavy.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._first_page = random.Random(seed).randint(1000, 9999)  # noqa: S311 - a load, no secret

    def text(self, number: int, shortest: int = 1, longest: int = 1) -> str:
        """So many sentences, from `shortest` to `longest`, of a dozen words or so each."""
        length = random.Random(number).randint(shortest, longest)  # noqa: S311
        chance = random.Random(f"{self._seed} {number}")  # noqa: S311
        return " ".join([f"Page {self._first_page + number}.", *(_sentence(chance) for _ in range(length))])


def _sentence(chance: random.Random) -> str:
    text = " ".join(chance.choice(part) for part in _PARTS)
    return f"{text[0].upper()}{text[1:]}."
