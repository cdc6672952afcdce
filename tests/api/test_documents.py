"""JSON from strangers: exact bounds, and media in steps that equals media at once."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.api.documents import BOM, MAX_DECODED_MIB, MAX_DEPTH, STEP_BYTES, decode_json, decode_media
from gateway.config import MIB
from gateway.errors import BadInput

MANY = list(range(256)) * 300


@pytest.mark.parametrize(
    ("opening", "inner", "closing"), [(b"[", b"1", b"]"), (b'{"a":', b"1", b"}"), (b'[{"a":', b"[]", b"}]")]
)
def test_nesting_is_bounded_exactly(opening: bytes, inner: bytes, closing: bytes) -> None:
    levels = (opening + inner).count(b"[") + opening.count(b"{")
    wide = b"[" + b"[]," * 200 + b"%b]"
    deepest = (MAX_DEPTH - 1 - inner.count(b"[")) // (levels - inner.count(b"["))
    assert decode_json(wide % (opening * deepest + inner + closing * deepest))
    with pytest.raises(BadInput, match=f"deeper than {MAX_DEPTH} levels"):
        decode_json(wide % (opening * (deepest + 1) + inner + closing * (deepest + 1)))


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=50),
    st.integers(1, 5000),
    st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.lists(st.integers())), max_size=3),
    st.sampled_from([None, 0, 1]),
)
@example([1], STEP_BYTES // 2, {"audio\\": '"audio":[1]'}, None)
@example([255], 3 * STEP_BYTES, {"x": {"audio": "no"}}, 1)
def test_media_in_steps_equals_media_at_once(
    numbers: list[int], times: int, others: dict[str, object], indent: int | None
) -> None:
    document = {**others, "audio": numbers * times, "after": ["audio", '"audio":[1,2]']}
    body = json.dumps(document, indent=indent).encode()
    assert decode_media(body, "audio") == {**decode_json(body), "audio": bytes(numbers * times)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        '{"audio":"text"}',
        '{"audio":[]}',
        '{"audio":[1,2}',
        '{"audio":[1,2,]}',
        '{"audio":[,1]}',
        '{"audio":[1,,2]}',
        '{"audio":[1 2]}',
        '{"audio":[1,256]}',
        '{"audio":[1,-1]}',
        '{"audio":[1,1.5]}',
        '{"audio":[1,null]}',
        '{"audio":[1,"]"]}',
        '{"audio":[[1],2]}',
        '{"audio":[1,2]',
        '{"audio":[1,2]}}',
        '{"audio":[1,2] "b":1}',
        '{"deeper":{"audio":[1,2]}}',
        '{"deeper":{"audio":[1,2]},"audio":"text"}',
        '{"audio":[1,2],"audio":"text"}',
        '{"audio":[1,2],"audio":[3]}',
        '[{"audio":[1,2]}]',
        '{"a":"\\"audio":[1,2]}',
        '{"audio":[1,2],"deep":' + "[" * 150 + "]" * 150 + "}",
    ],
)
def test_what_is_not_plain_is_left_to_the_whole_decoder(text: str) -> None:
    assert decode_media(text.encode(), "audio") is None


@pytest.mark.parametrize("ending", [",", ", ", ",,1", ",x", ",300"])
def test_faults_after_the_first_step_are_seen(ending: str) -> None:
    numbers = ",".join(map(str, MANY))
    assert len(numbers) > 3 * STEP_BYTES
    for length in (len(numbers), STEP_BYTES, STEP_BYTES + 1):
        whole = numbers[:length].rstrip(",")
        assert decode_media(b'{"audio":[%b]}' % whole.encode(), "audio") is not None
        assert decode_media(b'{"audio":[%b%b]}' % (whole.encode(), ending.encode()), "audio") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"model":"m","input":{"audio":[1,2]}}', {"model": "m", "input": {"audio": b"\1\2"}}),
        ('{"input":{"audio":[1],"mask":[2],"n":[300]}}', {"input": {"audio": b"\1", "mask": b"\2", "n": [300]}}),
        ('{"audio":[1]}', None),
        ('{"input":[{"audio":[1]}]}', None),
        ('{"input":{"x":{"audio":[1]}}}', None),
    ],
)
def test_media_may_stand_in_an_object_inside(text: str, expected: object) -> None:
    assert decode_media(text.encode(), "audio", "mask", inside="input") == expected


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"300," * 780_000 + b"0]",
        b"[" + b'"aa",' * 240_000 + b"0]",
        b"[" + b'{"%07d":300},' % 1 * 140_000 + b"0]",
        b"{" + b",".join(b'"%07d":0' % number for number in range(240_000)) + b"}",
        b"[" + b"[]," * 380_000 + b"0]",
    ],
    ids=["numbers", "texts", "objects", "keys", "arrays"],
)
def test_the_values_of_what_is_decoded_stay_within_their_bound(body: bytes) -> None:
    tracemalloc.start()
    try:
        decode_json(body)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < MAX_DECODED_MIB * MIB
    with pytest.raises(BadInput, match="so many values"):
        decode_json(b"[%b,%b]" % (body, body))


def test_quotes_and_commas_of_a_long_text_are_no_values() -> None:
    text = json.dumps({"text": 'He said "yes", and left. ' * 200_000})
    assert len(decode_json(text.encode())["text"]) == 5_000_000


def test_a_byte_order_mark_changes_nothing() -> None:
    assert decode_json(BOM + b'{"audio":[1]}') == {"audio": [1]}
    assert decode_media(BOM + b'{"audio":[1]}', "audio") == {"audio": b"\x01"}
