"""Unbounded parameters: numbers, lists and documents that are larger than anybody means."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.abuse.conftest import CHATS, COMPLETES, DRAWS, DRAWS_2, EMBEDS, RANKS, READS, SPEAKS
from tests.chaos.abuse.site import NEIGHBOUR, Site

VAST = 10**18
ASK: dict[str, Any] = {"prompt": "a", "max_tokens": 1}


class TestNumbers:
    @pytest.mark.parametrize(
        ("model", "fields", "field"),
        [
            (COMPLETES, ASK | {"n": VAST}, "/n"),
            (COMPLETES, ASK | {"n": 9}, "/n"),
            (COMPLETES, ASK | {"top_logprobs": VAST, "logprobs": True}, "/top_logprobs"),
            (COMPLETES, ASK | {"top_k": VAST}, "/top_k"),
            (COMPLETES, ASK | {"logit_bias": {str(n): 1 for n in range(100_000)}}, "/logit_bias"),
            (COMPLETES, ASK | {"stop": ["x"] * 10_000}, "/stop"),
            (COMPLETES, ASK | {"stop": "x" * 1_000_000}, "/stop"),
            (COMPLETES, ASK | {"tools": [{"type": "function", "function": {"name": "f"}}] * 10_000}, "/tools"),
            (CHATS, ASK | {"top_k": VAST}, "/top_k"),
            (CHATS, ASK | {"temperature": 1e308}, "/temperature"),
            (CHATS, ASK | {"seed": VAST}, "/seed"),
            (CHATS, {"messages": [{"role": "user", "content": "a"}] * 20_000}, "/messages"),
            (DRAWS, {"prompt": "a", "width": VAST}, "/width"),
            (DRAWS, {"prompt": "a", "height": 100_000}, "/height"),
            (DRAWS, {"prompt": "a", "num_steps": VAST}, "/num_steps"),
            (DRAWS, {"prompt": "a" * 1_000_000}, "/prompt"),
            (SPEAKS, {"text": "a" * 1_000_000}, "/text"),
        ],
    )
    def test_a_vast_value_is_refused_by_its_field(
        self, site: Site, model: str, fields: dict[str, Any], field: str
    ) -> None:
        assert f"'{field}" in site.refuses(model, json=fields)

    @pytest.mark.parametrize("model", [CHATS, COMPLETES])
    def test_more_tokens_than_the_context_holds_are_refused(self, site: Site, model: str) -> None:
        with site.unmoved():
            answer = site.post(model, json={"prompt": "a", "max_tokens": VAST})
        assert answer.status_code in (400, 413)
        assert answer.json()["errors"][0]["code"] in (5006, 5021)

    def test_a_prompt_beyond_the_context_is_refused(self, site: Site) -> None:
        with site.unmoved():
            answer = site.post(CHATS, json={"prompt": "a " * 1_000_000, "max_tokens": 1})
        assert answer.status_code in (400, 413)
        assert answer.json()["errors"][0]["code"] in (5006, 5021)

    def test_vast_numbers_in_a_form_are_refused_by_their_field(self, site: Site) -> None:
        assert "'/width'" in site.refuses(DRAWS_2, files={"prompt": (None, "a"), "width": (None, str(VAST))})

    def test_a_flood_of_texts_is_refused(self, site: Site) -> None:
        assert "'/text" in site.refuses(EMBEDS, json={"text": ["a"] * 100_000})

    def test_a_flood_of_batched_requests_is_refused(self, site: Site) -> None:
        site.refuses(NEIGHBOUR, json={"requests": [{"text": "a"}] * 200_000})


class TestTexts:
    """Models that cut texts to their window answer those of any length, and read no more of them than counts."""

    @pytest.mark.parametrize("text", ["a" * 4_000_000, " " * 4_000_000, "a, b. " * 200_000, "\u00e9" * 1_000_000])
    def test_a_text_of_megabytes_costs_what_its_window_does(self, site: Site, text: str) -> None:
        with site.unmoved():
            answer = site.post(READS, json={"text": text})
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("text", ["a/" * 200_000, " " * 1000 + "a/" * 200_000, "a" * 400_000])
    def test_a_pair_of_texts_beyond_the_window_costs_what_the_window_does(self, site: Site, text: str) -> None:
        with site.unmoved():
            answer = site.post(RANKS, json={"query": text, "contexts": [{"text": text}] * 3})
        assert answer.status_code == 200


class TestDocuments:
    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 5_000_000,
            b'{"text":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
            b'{"text":[' + b"[]," * 3_000_000 + b"[]]}",
            b'{"text":[' + b'{"a":0},' * 1_000_000 + b"0]}",
            b'{"text":[' + b'"aa",' * 2_000_000 + b'""]}',
            b'{"text":[' + b"300," * 2_500_000 + b"0]}",
            b"{" + b",".join(b'"%07d":0' % number for number in range(700_000)) + b"}",
            b'{"text":' + b"9" * 9_000_000 + b"}",
            b'{"text":"' + b"\\u0041" * 1_000_000,
        ],
        ids=["open arrays", "deep", "arrays", "objects", "texts", "numbers", "keys", "digits", "unfinished"],
    )
    def test_a_document_of_too_many_values_is_refused(self, site: Site, body: bytes) -> None:
        site.refuses(NEIGHBOUR, content=body, headers={"content-type": "application/json"})
