"""What is sent: seeded texts of everyday words, prompts that run on, sentences to be spoken; knows no model."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
TOPICS = (
    "a lighthouse keeper who finds a letter",
    "two sisters crossing a desert",
    "a clock maker's apprentice",
    "the last train before the storm",
    "a village that forgot its name",
    "a fisherman and a talking whale",
    "an old library under the sea",
    "a boy who collects shadows",
    "the first winter on a new island",
    "a baker who can hear the future",
    "a mountain guide and her dog",
    "the painter who never slept",
    "a garden on the roof of the city",
    "three friends and a broken boat",
    "a teacher in a school for giants",
    "the keeper of the northern bridge",
)
SENTENCES = (
    "The weather in the north of the country will be cold and dry until the end of the week, with light wind.",
    "Please leave your coat at the door, walk down the long corridor, and take the second stairs to the left.",
    "Every morning the old man bought two loaves of bread, a newspaper, and a small bag of green apples.",
    "The museum opens at nine o'clock, and children under twelve do not have to pay for their tickets.",
    "After a long journey by train and by boat, they reached the island just before the sun went down.",
    "She had forgotten the key again, so her neighbour helped her to climb in through the kitchen window.",
)


def passages(count: int, seed: int = 1, shortest: int = 5, longest: int = 120) -> list[str]:
    """That many texts of random words, their lengths in words spread evenly between the bounds."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(shortest, longest))) for _ in range(count)]


def prompts(count: int, seed: int = 1) -> list[str]:
    """That many different requests for a long story; different seeds share no start longer than the wording.

    The topics come in an order of the seed's own, so that few requests of different seeds share one.
    """
    chance = random.Random(seed)
    topics = chance.sample(TOPICS, len(TOPICS))
    return [
        f"Write a very long and detailed story about {topics[i % len(topics)]}, with a {chance.choice(WORDS)} and "
        f"a {chance.choice(WORDS)} in it. Describe every scene at length."
        for i in range(count)
    ]
