"""A transcript as captions: what is said without a pause is shown while it is said."""

from __future__ import annotations

import pytest

from gateway.tasks.transcript import Segment, Word, to_vtt


def words(*spoken: tuple[str, float, float]) -> list[Word]:
    return [Word(word=word, start=start, end=end) for word, start, end in spoken]


@pytest.mark.parametrize(
    ("segment", "cues"),
    [
        (Segment(start=1, end=2.5, text=" So it is."), ["00:00:01.000 --> 00:00:02.500\nSo it is.\n"]),
        (
            Segment(start=0, end=64, text=" No, no.", words=words(("No,", 0, 0.4), ("no.", 63, 64))),
            ["00:00:00.000 --> 00:00:00.400\nNo,\n", "00:01:03.000 --> 00:01:04.000\nno.\n"],
        ),
        (
            Segment(start=3599.5, end=3610, text="水火木", words=words(("水", 3599.5, 3600), ("火木", 3609, 3610))),
            ["00:59:59.500 --> 01:00:00.000\n水\n", "01:00:09.000 --> 01:00:10.000\n火木\n"],
        ),
        (
            Segment(start=0, end=3, text=" A breath", words=words(("A", 0, 1), ("breath", 3, 3))),
            ["00:00:00.000 --> 00:00:03.000\nA breath\n"],
        ),
    ],
    ids=["no word times", "a word said twice", "no spaces", "a breath"],
)
def test_no_caption_is_shown_over_a_pause(segment: Segment, cues: list[str]) -> None:
    assert to_vtt([segment]) == "WEBVTT\n\n" + "\n".join(cues)
